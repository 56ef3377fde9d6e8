"""Cache what the frozen model says: of every class, and of every view that training will see."""

import torch

from adapt import artefacts, clip, fewshot, parallel, stage
from adapt import teacher as cache
from adapt.data import catalogue
from adapt.data.views import to_tensor
from adapt.params import Backbone, Runtime, Teacher, Views


def main(
    dataset: str, preset: str, seeds: list[int], backbone: Backbone, views: Views, teacher: Teacher, runtime: Runtime
) -> None:
    """Write data/teacher/<dataset>/."""
    torch.set_num_threads(1)  # the seeds run side by side
    frozen = clip.load(backbone.name, backbone.pretrained, runtime.device)
    described, source = fewshot.describe(dataset), catalogue.load(dataset)

    def embed(seed: int) -> torch.Tensor:
        images = [to_tensor(source.image(item.path)) for item in fewshot.read(dataset, seed, "train")]
        return cache.embed_views(frozen, images, seed, count=teacher.views, scale=views.scale, flip=views.flip)

    seen = parallel.for_each(embed, seeds, processes=runtime.processes, device=frozen.device)
    classes = cache.embed_classes(frozen, described.classes, teacher.templates)
    made_from = {"preset": preset, "backbone": frozen.name, "weights": frozen.weights, "dataset": dataset}
    with artefacts.folder(cache.ROOT / dataset) as path:
        for seed, features in [(None, classes), *zip(seeds, seen, strict=True)]:
            artefacts.write_tensors(path / cache.file(dataset, seed).name, {"features": features}, made_from)
    stage.say(f"teacher {dataset}: {len(classes)} classes, {sum(map(len, seen)) * teacher.views} views")


if __name__ == "__main__":
    stage.run(main)
