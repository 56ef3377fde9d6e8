"""Resolve and check the config of every method on every dataset, before any work is done."""

from adapt.config import BackboneConfig, Config, DistillConfig, OptimizerConfig, PromptsConfig, PruneConfig
from adapt.pipeline import method_configs, stage
from adapt.runtime import files, formats
from adapt.settings import resolution


def main(
    preset: str,
    shots: int,
    datasets: list[str],
    methods: list[str],
    backbone: BackboneConfig,
    prompts: PromptsConfig,
    prune: PruneConfig,
    distill: DistillConfig,
    optimizer: OptimizerConfig,
    method: dict[str, dict],
) -> None:
    """Write data/configs/ and data/checked."""
    sections = {"prompts": prompts, "prune": prune, "distill": distill, "optimizer": optimizer}

    def resolve(name: str, dataset: str) -> Config:
        here = preset, dataset, shots, backbone.name
        return resolution.resolve(name, *here, method, sections, method_configs.where(name))

    resolution.check_towers(methods, backbone.name, "params.yaml: methods: ")
    waiting = {name for name in method if resolution.supports(name, backbone.name)}
    for name in sorted({*methods, *waiting}):  # also those that wait to be asked for
        resolve(name, datasets[0])
    remarks: dict[tuple[str, str], list[str]] = {}
    with files.atomic_dir(method_configs.ROOT) as root:
        for dataset in datasets:
            (root / dataset).mkdir()
            for name in methods:
                config = resolve(name, dataset)
                formats.write_json(root / dataset / f"{name}.json", config.model_dump())
                if warning := resolution.config_warning(name, backbone.name, config):
                    remarks.setdefault((name, warning), []).append(dataset)
                here = {"presets": preset, "shots": shots, "datasets": dataset}
                if keys := resolution.overridden(method.get(name, {}), **here):
                    remarks.setdefault((name, f"its overrides set {', '.join(keys)}"), []).append(dataset)
    for (name, remark), found in remarks.items():
        stage.log(f"configure: {name} on {', '.join(found)}: {remark}")
    method_configs.VALIDATED.write_text("params.yaml has been checked: see data/configs\n", encoding="utf-8")
    stage.log(f"configure: {', '.join(methods)} on {len(datasets)} datasets")


if __name__ == "__main__":
    stage.run(main)
