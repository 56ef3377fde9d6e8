"""Score a tuned method on a whole split; complete its run folder with metrics and predictions."""

from itertools import chain

import torch

from adapt import config
from adapt.clip import backbone as clip
from adapt.data import catalog
from adapt.pipeline import fewshot, image_cache, inputs, params, runs, stage, train
from adapt.runtime import workers
from adapt.runtime.checkpoint import Checkpoint


def main(
    dataset: str,
    method: str,
    preset: str,
    shots: int,
    seeds: list[int],
    data: params.DataConfig,
    backbone: config.BackboneConfig,
    evaluate: config.EvaluateConfig,
    runtime: config.RuntimeConfig,
) -> None:
    """Write runs/<dataset>/<method>/seed_<s>/."""
    torch.set_num_threads(1)  # the seeds run side by side
    frozen = clip.from_params(backbone, runtime)
    splits = {seed: fewshot.read_to_score(dataset, seed, evaluate.split) for seed in seeds}
    paths = {seed: [item.path for item in items] for seed, items in splits.items()}
    if evaluate.split == "test":
        pack = image_cache.read(dataset, frozen.image_size)
    else:  # few, and each seed's own
        pack = image_cache.decode(catalog.load(dataset, data.home), chain(*paths.values()), frozen.image_size)

    stores = {}
    for seed in seeds:
        read = [evaluate.model_dump(), frozen.weights, frozen.precision, splits[seed], inputs.file(dataset)]
        read.append(train.prompts(dataset, method, seed))
        stores[seed] = Checkpoint.of(f"evaluate/{dataset}-{method}-{seed}", runtime.checkpoint_seconds, *read)
    stage.warn_stale_checkpoints(f"evaluate {dataset} {method}", stores.values())

    def predict(seed: int) -> tuple[list[int], int]:
        return train.score(method, frozen, dataset, seed, pack, paths[seed], evaluate.batch_size, stores[seed])

    predicted = workers.for_each(predict, seeds, processes=runtime.parallel_seeds, device=frozen.device)
    facts = {"preset": preset, "backbone": frozen.name, "weights": frozen.weights, "precision": frozen.precision}
    facts |= {"dataset": dataset, "method": method, "shots": shots, "split": evaluate.split}
    scores = runs.write(dataset, method, splits, dict(zip(seeds, predicted, strict=True)), facts)
    for store in stores.values():
        store.clear()
    accuracies = ", ".join(f"{score:.3f}" for score in scores)
    stage.log(f"evaluate {dataset} {method}: accuracy {accuracies} on {evaluate.split} for seeds {seeds}")


if __name__ == "__main__":
    stage.run(main)
