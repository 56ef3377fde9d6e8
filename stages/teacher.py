"""Cache what the frozen model says: of every class, and of every view that training will see."""

import torch

from adapt.config import AugmentConfig, BackboneConfig, RuntimeConfig, TeacherConfig
from adapt.data import catalog
from adapt.data.twins import check
from adapt.pipeline import backbone as backbones
from adapt.pipeline import fewshot, fingerprints, stage
from adapt.pipeline import teacher_cache as cache
from adapt.pipeline.checkpoints import open_checkpoint
from adapt.pipeline.params import DataConfig
from adapt.runtime import files, formats
from adapt.training import teacher_features


def main(
    dataset: str,
    preset: str,
    seeds: list[int],
    data: DataConfig,
    backbone: BackboneConfig,
    augment: AugmentConfig,
    teacher: TeacherConfig,
    runtime: RuntimeConfig,
) -> None:
    """Write data/teacher/<dataset>/."""
    frozen = backbones.load(backbone, runtime)
    described, source = fewshot.describe(dataset), catalog.load(dataset, data.folder)
    for line in check(frozen.tokenize, source):
        stage.log(f"teacher {dataset}: {line}")
    made_from = {"preset": preset, "backbone": frozen.name, "weights": frozen.weights, "dataset": dataset}
    made_from |= {"precision": frozen.precision}
    settings = [augment.model_dump(), teacher.views, fingerprints.file(dataset)]
    stores = {
        (seed, split): open_checkpoint(
            f"teacher/{dataset}-{split}-{seed}",
            runtime.checkpoint_seconds,
            made_from,
            *settings,
            fewshot.file(dataset, seed),
        )
        for seed in seeds
        for split in fewshot.SEEDED
    }
    stage.warn_stale_checkpoints(f"teacher {dataset}", stores.values())

    def embed(seed: int) -> dict[str, torch.Tensor]:
        samples = {split: fewshot.read(dataset, seed, split) for split in fewshot.SEEDED}
        images = {split: [source.image(sample.path) for sample in found] for split, found in samples.items()}
        kept = {split: stores[seed, split] for split in fewshot.SEEDED}
        return teacher_features.of_images(frozen, images, seed, teacher, augment, kept)

    by_seed = stage.for_each_seed(embed, seeds, runtime, frozen.device)
    classes = teacher_features.of_classes(frozen, described.classes, teacher.templates)
    with files.atomic_dir(cache.ROOT / dataset) as path:
        for seed, tensors in [(None, classes), *zip(seeds, by_seed, strict=True)]:
            formats.write_tensors(path / cache.file(dataset, seed).name, tensors, made_from)
    for store in stores.values():
        store.clear()
    count = sum(found[f"{split}.views"].flatten(0, 1).shape[0] for found in by_seed for split in fewshot.SEEDED)
    stage.log(f"teacher {dataset}: {len(source.classes)} classes, {count} views")


if __name__ == "__main__":
    stage.run(main)
