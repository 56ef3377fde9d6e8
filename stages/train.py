"""Tune a method on the few-shot subsets of a dataset: one run a seed, each resumable on its own."""

import torch

from adapt import artefacts, clip, parallel, params, settings, stage, tuning
from adapt.data import catalogue


def main(
    dataset: str,
    method: str,
    preset: str,
    seeds: list[int],
    data: params.Data,
    backbone: params.Backbone,
    views: params.Views,
    runtime: params.Runtime,
) -> None:
    """Write data/tuned/<dataset>/<method>/seed_<s>/."""
    torch.set_num_threads(1)  # the seeds run side by side
    frozen = clip.from_params(backbone, runtime)
    source, settled = catalogue.load(dataset, data.home), settings.read(dataset, method)
    made_from = tuning.describe(frozen, preset, dataset, method, settled, views)
    stores = {seed: tuning.checkpoint(made_from, seed, runtime.checkpoint_seconds) for seed in seeds}
    stage.say_kept(f"train {dataset} {method}", stores.values())

    def tune(seed: int) -> tuning.Tuned:
        progress = stage.bar(f"{dataset} {method} seed {seed}", seeds.index(seed), "epoch")
        return tuning.tune(method, frozen, source, seed, settled, views, stores[seed], progress)

    tuned = parallel.for_each(tune, seeds, processes=runtime.processes, device=frozen.device)
    with artefacts.folder(tuning.ROOT / dataset / method) as path:
        for seed, result in zip(seeds, tuned, strict=True):
            tuning.write(path / f"seed_{seed}", result, made_from | {"seed": seed})
    for store in stores.values():
        store.clear()
    tokens = ", ".join(str(result.tokens) for result in tuned)
    stage.say(f"train {dataset} {method}: {tokens} tokens for seeds {seeds}")
    if any(result.budget not in (None, result.tokens) for result in tuned):
        stage.say(
            f"train {dataset} {method}: not the budget, prune.target: {tuned[0].budget}, since prune.warmup leaves no "
            "step to prune after; lower it or train for more epochs"
        )


if __name__ == "__main__":
    stage.run(main)
