"""Tune a method on the few-shot subsets of a dataset.

There is one run per seed, and each can be resumed by itself.
"""

from adapt.clip.backbone import Backbone
from adapt.config import AugmentConfig, BackboneConfig, RuntimeConfig
from adapt.pipeline import backbone as backbones
from adapt.pipeline import fewshot, live, method_configs, stage, teacher_cache, train
from adapt.pipeline.seeds import for_each_seed
from adapt.runtime import files, progress
from adapt.training import run_folder
from adapt.training.fit import FitResult, fit


def main(
    dataset: str,
    method: str,
    preset: str,
    seeds: list[int],
    backbone: BackboneConfig,
    augment: AugmentConfig,
    runtime: RuntimeConfig,
) -> None:
    """Write data/tuned/<dataset>/<method>/seed_<s>/."""
    frozen = backbones.load(backbone, runtime)
    config = method_configs.read(dataset, method)
    sampled, optimizer = fewshot.describe(dataset), getattr(config, "optimizer", None)
    made_from = run_folder.describe(
        frozen, preset=preset, dataset=dataset, template=sampled.template, classes=sampled.classes, method=method,
        config=config, augment=augment,
    )  # fmt: skip
    stores = {seed: train.checkpoint(made_from, seed, runtime.checkpoint_seconds) for seed in seeds}
    stage.warn_stale_checkpoints(f"train {dataset} {method}", stores.values())
    live.clear(dataset, method)

    def fit_seed(frozen: Backbone, seed: int) -> FitResult:
        task = train.read_task(frozen, dataset, seed)
        loaders = train.read_loaders(frozen, dataset, seed, optimizer, augment)
        bar = progress.Bar(f"{dataset} {method} seed {seed}", seeds.index(seed), "epoch")
        return fit(
            method, task, loaders, config, shots=sampled.shots, store=stores[seed], progress=bar,
            cuda_graphs=runtime.cuda_graphs, measure=live.measure(runtime, loaders["val"]),
            on_epoch=live.reporter(runtime, bar, live.folder(dataset, method, seed)),
        )  # fmt: skip

    results = for_each_seed(fit_seed, seeds, runtime, frozen, len(sampled.classes))
    classes = teacher_cache.read(dataset, None, frozen)
    with files.atomic_dir(train.ROOT / dataset / method) as path:
        for seed, result in zip(seeds, results, strict=True):
            (path / f"seed_{seed}").mkdir()
            run_folder.write(path / f"seed_{seed}", result, made_from | {"seed": seed}, classes)
    for store in stores.values():
        store.clear()
    tokens = ", ".join(str(result.tokens) for result in results)
    stage.log(f"train {dataset} {method}: {tokens} tokens for seeds {seeds}")
    for kind in (FitResult.remark, FitResult.recording_remark):
        if remark := next(filter(None, map(kind, results)), None):
            stage.log(f"train {dataset} {method}: {remark}")


if __name__ == "__main__":
    stage.run(main)
