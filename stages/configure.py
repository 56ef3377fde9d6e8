"""Settle and check what every method is told on every dataset, before any work is done."""

from adapt import artefacts, settings, stage
from adapt.params import Backbone, Context, Distill, Optimiser, Prune


def main(
    shots: int,
    datasets: list[str],
    methods: list[str],
    backbone: Backbone,
    context: Context,
    prune: Prune,
    distill: Distill,
    optimiser: Optimiser,
    knobs: dict[str, dict],
) -> None:
    """Write data/settings/ and data/checked."""
    sections = {"context": context, "prune": prune, "distill": distill, "optimiser": optimiser}
    settings.check_towers(methods, backbone.name)
    waiting = {method for method in knobs if settings.fits(method, backbone.name)}
    for method in sorted({*methods, *waiting}):  # also those that wait to be asked for
        settings.settle(method, datasets[0], shots, backbone.name, knobs, sections)
    cautions: dict[tuple[str, str], list[str]] = {}
    with artefacts.folder(settings.ROOT) as root:
        for dataset in datasets:
            (root / dataset).mkdir()
            for method in methods:
                settled = settings.settle(method, dataset, shots, backbone.name, knobs, sections)
                artefacts.write_json(root / dataset / f"{method}.json", settled.model_dump())
                if caution := settings.caution(method, backbone.name, settled):
                    cautions.setdefault((method, caution), []).append(dataset)
    for (method, caution), found in cautions.items():
        stage.say(f"configure: {method} on {', '.join(found)}: {caution}")
    settings.CHECKED.write_text("params.yaml has been checked: see data/settings\n", encoding="utf-8")
    stage.say(f"configure: {', '.join(methods)} on {len(datasets)} datasets")


if __name__ == "__main__":
    stage.run(main)
