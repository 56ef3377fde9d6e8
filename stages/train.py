"""Tune a method on the few-shot subsets of a dataset: one run a seed, each resumable on its own."""

import torch

from adapt.config import AugmentConfig, BackboneConfig, RuntimeConfig
from adapt.data import catalog
from adapt.pipeline import backbone as backbones
from adapt.pipeline import fewshot, method_configs, stage, train
from adapt.pipeline.params import DataConfig
from adapt.runtime import files
from adapt.training.fit import FitResult, fit


def main(
    dataset: str,
    method: str,
    preset: str,
    seeds: list[int],
    data: DataConfig,
    backbone: BackboneConfig,
    augment: AugmentConfig,
    runtime: RuntimeConfig,
) -> None:
    """Write data/tuned/<dataset>/<method>/seed_<s>/."""
    torch.set_num_threads(1)  # the seeds run side by side
    frozen = backbones.load(backbone, runtime)
    source, config = catalog.load(dataset, data.folder), method_configs.read(dataset, method)
    shots, optimizer = fewshot.describe(dataset).shots, getattr(config, "optimizer", None)
    made_from = train.describe(frozen, preset, dataset, method, config, augment)
    stores = {seed: train.checkpoint(made_from, seed, runtime.checkpoint_seconds) for seed in seeds}
    stage.warn_stale_checkpoints(f"train {dataset} {method}", stores.values())

    def fit_seed(seed: int) -> FitResult:
        task = train.read_task(frozen, dataset, seed)
        loaders = train.read_loaders(frozen, source, seed, optimizer, augment)
        progress = stage.progress_bar(f"{dataset} {method} seed {seed}", seeds.index(seed), "epoch")
        return fit(method, task, loaders, config, shots=shots, store=stores[seed], progress=progress)

    results = stage.for_each_seed(fit_seed, seeds, runtime, frozen.device)
    with files.atomic_dir(train.ROOT / dataset / method) as path:
        for seed, result in zip(seeds, results, strict=True):
            train.write(path / f"seed_{seed}", result, made_from | {"seed": seed})
    for store in stores.values():
        store.clear()
    tokens = ", ".join(str(result.tokens) for result in results)
    stage.log(f"train {dataset} {method}: {tokens} tokens for seeds {seeds}")
    if any(result.budget not in (None, result.tokens) for result in results):
        stage.log(
            f"train {dataset} {method}: not the budget, prune.target: {results[0].budget}, since prune.warmup leaves "
            "no step to prune after; lower it or train for more epochs"
        )


if __name__ == "__main__":
    stage.run(main)
