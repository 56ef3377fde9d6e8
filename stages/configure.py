"""Check the params before any work is done.

The config of every method on every dataset is resolved and written.
"""

from adapt.config import Config
from adapt.pipeline import method_configs, stage, stage_params
from adapt.pipeline.params import Params
from adapt.runtime import files, formats
from adapt.settings import resolution


def main(settings: Params) -> None:
    """Write data/configs/ and data/params/."""
    preset, shots, datasets, methods = settings.preset, settings.shots, settings.datasets, settings.methods
    backbone, method = settings.backbone.name, settings.method

    def resolve(name: str, dataset: str) -> Config:
        return method_configs.of_params(settings, name, dataset)

    resolution.check_towers(methods, backbone, "params.yaml: methods: ")
    waiting = {name for name in method if resolution.supports(name, backbone)}
    for name in sorted({*methods, *waiting}):  # also methods that have not been chosen
        resolve(name, datasets[0])
    remarks: dict[tuple[str, str], list[str]] = {}
    with files.atomic_dir(method_configs.ROOT) as root:
        for dataset in datasets:
            (root / dataset).mkdir()
            for name in methods:
                config = resolve(name, dataset)
                formats.write_json(root / dataset / f"{name}.json", config.model_dump())
                if warning := resolution.config_warning(name, backbone, config):
                    remarks.setdefault((name, warning), []).append(dataset)
                here = {"presets": preset, "shots": shots, "datasets": dataset}
                if keys := resolution.overridden(method.get(name, {}), **here):
                    remarks.setdefault((name, f"its overrides set {', '.join(keys)}"), []).append(dataset)
    for (name, remark), found in remarks.items():
        stage.log(f"configure: {name} on {', '.join(found)}: {remark}")
    with files.atomic_dir(stage_params.ROOT) as root:  # last: stages that depend on it start only after all checks
        for name in stage_params.KEYS:
            formats.write_json(root / f"{name}.json", stage_params.of_stage(name, settings))
    stage.log(f"configure: {', '.join(methods)} on {len(datasets)} datasets")


if __name__ == "__main__":
    stage.run(main)
