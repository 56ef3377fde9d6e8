"""Decode the few-shot images and cache the frozen model's features.

The features are those of every class and of every view of the images.
"""

import torch

from adapt.clip.backbone import Backbone
from adapt.config import AugmentConfig, BackboneConfig, RuntimeConfig, TeacherConfig
from adapt.data import catalog
from adapt.data.twins import check
from adapt.pipeline import backbone as backbones
from adapt.pipeline import fewshot, fewshot_images, fingerprints, stage
from adapt.pipeline import teacher_cache as cache
from adapt.pipeline.checkpoints import open_checkpoint
from adapt.pipeline.params import DataConfig
from adapt.pipeline.seeds import for_each_seed
from adapt.runtime import files, formats, progress
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

    def embed(frozen: Backbone, seed: int) -> dict[str, torch.Tensor]:
        samples = {split: fewshot.read(dataset, seed, split) for split in fewshot.SEEDED}
        images = {split: [pixels[sample.path] for sample in found] for split, found in samples.items()}
        kept = {split: stores[seed, split] for split in fewshot.SEEDED}
        return teacher_features.of_images(frozen, images, seed, teacher, augment, kept)

    wanted = [
        sample.path for seed in seeds for split in fewshot.SEEDED for sample in fewshot.read(dataset, seed, split)
    ]
    with files.atomic_dir(cache.ROOT / dataset) as path:
        bar = progress.Bar(f"decode {dataset}", 0, "image")
        fewshot_images.write(path, source, wanted, processes=runtime.num_workers, progress=bar)
        pixels = fewshot_images.open_folder(path, f"dvc repro -f teacher@{dataset}")
        by_seed = for_each_seed(embed, seeds, runtime, frozen, len(described.classes))
        classes = teacher_features.of_classes(
            backbones.on_device(frozen, runtime), described.classes, teacher.templates
        )
        for seed, tensors in [(None, classes), *zip(seeds, by_seed, strict=True)]:
            formats.write_tensors(path / cache.file(dataset, seed).name, tensors, made_from)
    for store in stores.values():
        store.clear()
    count = sum(found[f"{split}.views"].flatten(0, 1).shape[0] for found in by_seed for split in fewshot.SEEDED)
    stage.log(f"teacher {dataset}: {len(source.classes)} classes, {count} views")


if __name__ == "__main__":
    stage.run(main)
