"""Cache what the frozen model says: of every class, and of every view that training will see."""

import torch

from adapt import artefacts, clip, fewshot, parallel, stage
from adapt import teacher as cache
from adapt.checkpoint import Checkpoint
from adapt.data import catalogue
from adapt.data.views import centre, to_tensor
from adapt.params import Backbone, Runtime, Teacher, Views


def main(
    dataset: str, preset: str, seeds: list[int], backbone: Backbone, views: Views, teacher: Teacher, runtime: Runtime
) -> None:
    """Write data/teacher/<dataset>/."""
    torch.set_num_threads(1)  # the seeds run side by side
    frozen = clip.load(backbone.name, backbone.pretrained, runtime.device)
    described, source = fewshot.describe(dataset), catalogue.load(dataset)
    made_from = {"preset": preset, "backbone": frozen.name, "weights": frozen.weights, "dataset": dataset}
    settings = {"count": teacher.views, "scale": views.scale, "flip": views.flip}
    stores = {
        (seed, split): Checkpoint.of(
            f"teacher/{dataset}-{split}-{seed}",
            runtime.checkpoint_seconds,
            made_from,
            settings,
            fewshot.file(dataset, seed),
        )
        for seed in seeds
        for split in fewshot.SEEDED
    }
    stage.say_kept(f"teacher {dataset}", stores.values())

    def embed(seed: int) -> dict[str, torch.Tensor]:
        found, first = {}, 0
        for split in fewshot.SEEDED:
            originals = [source.image(item.path) for item in fewshot.read(dataset, seed, split)]
            pixels = [to_tensor(image) for image in originals]
            store = stores[seed, split]
            found[f"{split}.views"] = cache.embed_views(frozen, pixels, seed, first=first, store=store, **settings)
            found[f"{split}.frozen"] = cache.embed_images(frozen, (centre(image, frozen.size) for image in originals))
            first += len(pixels)
        return found

    seen = parallel.for_each(embed, seeds, processes=runtime.processes, device=frozen.device)
    classes = cache.embed_classes(frozen, described.classes, teacher.templates)
    with artefacts.folder(cache.ROOT / dataset) as path:
        for seed, tensors in [(None, {"features": classes}), *zip(seeds, seen, strict=True)]:
            artefacts.write_tensors(path / cache.file(dataset, seed).name, tensors, made_from)
    for store in stores.values():
        store.clear()
    count = sum(found[f"{split}.views"].flatten(0, 1).shape[0] for found in seen for split in fewshot.SEEDED)
    stage.say(f"teacher {dataset}: {len(classes)} classes, {count} views")


if __name__ == "__main__":
    stage.run(main)
