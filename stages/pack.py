"""Decode the test images of a dataset once, so that every method's evaluation finds them ready."""

from adapt import architecture, fewshot, inputs, packs, stage
from adapt.data import catalogue
from adapt.params import Backbone, Data, Runtime


def main(dataset: str, data: Data, backbone: Backbone, runtime: Runtime) -> None:
    """Write data/pack/<dataset>/."""
    source, size = catalogue.load(dataset, data.home), architecture.size(backbone.name)
    progress = stage.bar(f"pack {dataset}", 0, "image")
    paths = [item.path for item in fewshot.read(dataset, None, "test")]
    store = packs.Decoded.of(f"pack/{dataset}", runtime.checkpoint_seconds, inputs.file(dataset), size, paths)
    stage.say_kept(f"pack {dataset}", [store])
    count = packs.write(source, paths, size, workers=runtime.workers, progress=progress, store=store)
    stage.say(f"pack {dataset}: {count} test images at {size} × {size}")


if __name__ == "__main__":
    stage.run(main)
