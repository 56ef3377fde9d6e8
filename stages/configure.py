"""Settle and check what every method is told on every dataset, before any work is done."""

from adapt.config import BackboneConfig, DistillConfig, OptimizerConfig, PromptsConfig, PruneConfig
from adapt.pipeline import method_configs, stage
from adapt.runtime import files


def main(
    shots: int,
    datasets: list[str],
    methods: list[str],
    backbone: BackboneConfig,
    context: PromptsConfig,
    prune: PruneConfig,
    distill: DistillConfig,
    optimiser: OptimizerConfig,
    knobs: dict[str, dict],
) -> None:
    """Write data/settings/ and data/checked."""
    sections = {"context": context, "prune": prune, "distill": distill, "optimiser": optimiser}
    method_configs.check_towers(methods, backbone.name)
    waiting = {method for method in knobs if method_configs.supports(method, backbone.name)}
    for method in sorted({*methods, *waiting}):  # also those that wait to be asked for
        method_configs.resolve(method, datasets[0], shots, backbone.name, knobs, sections)
    cautions: dict[tuple[str, str], list[str]] = {}
    with files.atomic_dir(method_configs.ROOT) as root:
        for dataset in datasets:
            (root / dataset).mkdir()
            for method in methods:
                settled = method_configs.resolve(method, dataset, shots, backbone.name, knobs, sections)
                files.write_json(root / dataset / f"{method}.json", settled.model_dump())
                if caution := method_configs.config_warning(method, backbone.name, settled):
                    cautions.setdefault((method, caution), []).append(dataset)
    for (method, caution), found in cautions.items():
        stage.log(f"configure: {method} on {', '.join(found)}: {caution}")
    method_configs.VALIDATED.write_text("params.yaml has been checked: see data/settings\n", encoding="utf-8")
    stage.log(f"configure: {', '.join(methods)} on {len(datasets)} datasets")


if __name__ == "__main__":
    stage.run(main)
