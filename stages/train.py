"""Tune a method on the few-shot subsets of a dataset: one run a seed, each resumable on its own."""

import torch

from adapt import config
from adapt.clip import backbone as clip
from adapt.data import catalog
from adapt.pipeline import method_configs, params, stage, train
from adapt.runtime import files, workers


def main(
    dataset: str,
    method: str,
    preset: str,
    seeds: list[int],
    data: params.DataConfig,
    backbone: config.BackboneConfig,
    views: config.AugmentConfig,
    runtime: config.RuntimeConfig,
) -> None:
    """Write data/tuned/<dataset>/<method>/seed_<s>/."""
    torch.set_num_threads(1)  # the seeds run side by side
    frozen = clip.from_params(backbone, runtime)
    source, settled = catalog.load(dataset, data.home), method_configs.read(dataset, method)
    made_from = train.describe(frozen, preset, dataset, method, settled, views)
    stores = {seed: train.checkpoint(made_from, seed, runtime.checkpoint_seconds) for seed in seeds}
    stage.warn_stale_checkpoints(f"train {dataset} {method}", stores.values())

    def tune(seed: int) -> train.Tuned:
        progress = stage.progress_bar(f"{dataset} {method} seed {seed}", seeds.index(seed), "epoch")
        return train.tune(method, frozen, source, seed, settled, views, stores[seed], progress)

    tuned = workers.for_each(tune, seeds, processes=runtime.parallel_seeds, device=frozen.device)
    with files.atomic_dir(train.ROOT / dataset / method) as path:
        for seed, result in zip(seeds, tuned, strict=True):
            train.write(path / f"seed_{seed}", result, made_from | {"seed": seed})
    for store in stores.values():
        store.clear()
    tokens = ", ".join(str(result.tokens) for result in tuned)
    stage.log(f"train {dataset} {method}: {tokens} tokens for seeds {seeds}")
    if any(result.budget not in (None, result.tokens) for result in tuned):
        stage.log(
            f"train {dataset} {method}: not the budget, prune.target: {tuned[0].budget}, since prune.warmup leaves no "
            "step to prune after; lower it or train for more epochs"
        )


if __name__ == "__main__":
    stage.run(main)
