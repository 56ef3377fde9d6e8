"""Cache what the frozen model says: of every class, and of every view that training will see."""

import torch

from adapt.config import AugmentConfig, BackboneConfig, RuntimeConfig, TeacherConfig
from adapt.data import catalog
from adapt.data.augment import to_tensor
from adapt.data.dataset import center_crop
from adapt.data.twins import check
from adapt.pipeline import backbone as backbones
from adapt.pipeline import fewshot, fingerprints, stage
from adapt.pipeline import teacher_cache as cache
from adapt.pipeline.checkpoints import open_checkpoint
from adapt.pipeline.params import DataConfig
from adapt.runtime import files, formats
from adapt.training.teacher_features import embed_images, embed_templates, embed_views, ensemble, zero_shot


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
    torch.set_num_threads(1)  # the seeds run side by side
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
        found, offset = {}, 0
        for split in fewshot.SEEDED:
            images = [source.image(sample.path) for sample in fewshot.read(dataset, seed, split)]
            pixels = [to_tensor(image) for image in images]
            centers = [torch.from_numpy(center_crop(image, frozen.image_size)) for image in images]
            found[f"{split}.views"] = embed_views(
                frozen, pixels, seed, index_offset=offset, views=teacher.views, augment=augment,
                store=stores[seed, split],
            )  # fmt: skip
            found[f"{split}.frozen"] = embed_images(frozen, centers)
            offset += len(pixels)
        return found

    by_seed = stage.for_each_seed(embed, seeds, runtime, frozen.device)
    features = embed_templates(frozen, described.classes, teacher.templates)
    classes = {"features": ensemble(features), "zero_shot": zero_shot(features)}
    with files.atomic_dir(cache.ROOT / dataset) as path:
        for seed, tensors in [(None, classes), *zip(seeds, by_seed, strict=True)]:
            formats.write_tensors(path / cache.file(dataset, seed).name, tensors, made_from)
    for store in stores.values():
        store.clear()
    count = sum(found[f"{split}.views"].flatten(0, 1).shape[0] for found in by_seed for split in fewshot.SEEDED)
    stage.log(f"teacher {dataset}: {len(source.classes)} classes, {count} views")


if __name__ == "__main__":
    stage.run(main)
