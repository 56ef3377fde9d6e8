"""Cache what the frozen model says: of every class, and of every view that training will see."""

import torch

from adapt.clip import backbone as clip
from adapt.clip import class_names
from adapt.config import AugmentConfig, BackboneConfig, RuntimeConfig, TeacherConfig
from adapt.data import catalog
from adapt.data.augment import to_tensor
from adapt.data.dataset import center_crop
from adapt.pipeline import fewshot, inputs, stage
from adapt.pipeline import teacher as cache
from adapt.pipeline.params import DataConfig
from adapt.runtime import files, workers
from adapt.runtime.checkpoint import Checkpoint


def main(
    dataset: str,
    preset: str,
    seeds: list[int],
    data: DataConfig,
    backbone: BackboneConfig,
    views: AugmentConfig,
    teacher: TeacherConfig,
    runtime: RuntimeConfig,
) -> None:
    """Write data/teacher/<dataset>/."""
    torch.set_num_threads(1)  # the seeds run side by side
    frozen = clip.from_params(backbone, runtime)
    described, source = fewshot.describe(dataset), catalog.load(dataset, data.home)
    for line in class_names.check(frozen.tokenize, source):
        stage.log(f"teacher {dataset}: {line}")
    made_from = {"preset": preset, "backbone": frozen.name, "weights": frozen.weights, "dataset": dataset}
    made_from |= {"precision": frozen.precision}
    settings = {"count": teacher.views, "scale": views.crop_scale, "flip": views.horizontal_flip}
    stores = {
        (seed, split): Checkpoint.of(
            f"teacher/{dataset}-{split}-{seed}",
            runtime.checkpoint_seconds,
            made_from,
            settings,
            fewshot.file(dataset, seed),
            inputs.file(dataset),
        )
        for seed in seeds
        for split in fewshot.SEEDED
    }
    stage.warn_stale_checkpoints(f"teacher {dataset}", stores.values())

    def embed(seed: int) -> dict[str, torch.Tensor]:
        found, first = {}, 0
        for split in fewshot.SEEDED:
            pixels, centres = [], []
            for item in fewshot.read(dataset, seed, split):
                image = source.image(item.path)
                pixels.append(to_tensor(image))
                centres.append(torch.from_numpy(center_crop(image, frozen.image_size)))
            store = stores[seed, split]
            found[f"{split}.views"] = cache.embed_views(frozen, pixels, seed, first=first, store=store, **settings)
            found[f"{split}.frozen"] = cache.embed_images(frozen, centres)
            first += len(pixels)
        return found

    seen = workers.for_each(embed, seeds, processes=runtime.parallel_seeds, device=frozen.device)
    features = cache.embed_templates(frozen, described.classes, teacher.templates)
    classes = {"features": cache.ensemble(features), "zero_shot": cache.zero_shot(features)}
    with files.atomic_dir(cache.ROOT / dataset) as path:
        for seed, tensors in [(None, classes), *zip(seeds, seen, strict=True)]:
            files.write_tensors(path / cache.file(dataset, seed).name, tensors, made_from)
    for store in stores.values():
        store.clear()
    count = sum(found[f"{split}.views"].flatten(0, 1).shape[0] for found in seen for split in fewshot.SEEDED)
    stage.log(f"teacher {dataset}: {len(source.classes)} classes, {count} views")


if __name__ == "__main__":
    stage.run(main)
