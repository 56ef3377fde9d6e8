"""Score a tuned method on a whole split.

This completes its run folder with metrics and predictions.
"""

from itertools import chain

from adapt.clip.backbone import Backbone
from adapt.config import BackboneConfig, EvaluateConfig, RuntimeConfig
from adapt.data import catalog
from adapt.pipeline import backbone as backbones
from adapt.pipeline import evaluate as runs
from adapt.pipeline import fewshot, image_cache, stage
from adapt.pipeline.params import DataConfig
from adapt.pipeline.seeds import for_each_seed


def main(
    dataset: str,
    method: str,
    preset: str,
    shots: int,
    seeds: list[int],
    data: DataConfig,
    backbone: BackboneConfig,
    evaluate: EvaluateConfig,
    runtime: RuntimeConfig,
) -> None:
    """Write runs/<dataset>/<method>/seed_<s>/."""
    frozen = backbones.load(backbone, runtime)
    splits = {seed: fewshot.read_to_score(dataset, seed, evaluate.split) for seed in seeds}
    paths = {seed: [sample.path for sample in samples] for seed, samples in splits.items()}
    if evaluate.split == "test":
        cache = image_cache.read(dataset, frozen.image_size)
    else:  # few images, different for each seed
        cache = image_cache.decode(catalog.load(dataset, data.folder), chain(*paths.values()), frozen.image_size)
    seconds, settings = runtime.checkpoint_seconds, evaluate.model_dump()
    stores = {seed: runs.checkpoint(frozen, dataset, method, seed, seconds, settings, splits[seed]) for seed in seeds}
    stage.warn_stale_checkpoints(f"evaluate {dataset} {method}", stores.values())

    def score(backbone: Backbone, seed: int) -> tuple[list[int], int]:
        images = cache.select(paths[seed])
        return runs.score(backbone, dataset, method, seed, images, batch_size=evaluate.batch_size, store=stores[seed])

    predicted = for_each_seed(score, seeds, runtime, frozen, len(fewshot.describe(dataset).classes))
    facts = {"preset": preset, "backbone": frozen.name, "weights": frozen.weights, "precision": frozen.precision}
    facts |= {"dataset": dataset, "method": method, "shots": shots, "split": evaluate.split}
    scores = runs.write(dataset, method, splits, dict(zip(seeds, predicted, strict=True)), facts)
    for store in stores.values():
        store.clear()
    accuracies = ", ".join(f"{score:.3f}" for score in scores)
    stage.log(f"evaluate {dataset} {method}: accuracy {accuracies} on {evaluate.split} for seeds {seeds}")


if __name__ == "__main__":
    stage.run(main)
