"""Draw the few-shot subsets of a dataset, one a seed: which images train, which validate, and the test split."""

from adapt.data import catalog
from adapt.data.folders import some
from adapt.data.sampling import sample
from adapt.pipeline import fewshot, stage
from adapt.pipeline.params import DataConfig


def main(dataset: str, shots: int, seeds: list[int], data: DataConfig) -> None:
    """Write data/fewshot/<dataset>/."""
    found = catalog.load(dataset, data.folder)
    subsets = {seed: sample(found.train, found.val, shots, seed) for seed in seeds}
    fewshot.write(found, subsets, shots)
    for line in catalog.remarks(found, data.folder):
        stage.log(f"sample {dataset}: {line}")
    if not found.val:
        stage.log(
            f"sample {dataset}: has no val split: val images are drawn from the training images that are not among the "
            "shots"
        )
    taught = {item.label for item in subsets[seeds[0]].val}
    if lacking := [repr(name) for label, name in enumerate(found.classes) if label not in taught]:
        stage.log(f"sample {dataset}: no val images of {some(lacking)}: what is chosen on val is chosen without them")
    if reused := subsets[seeds[0]].reused_classes:
        stage.log(
            f"sample {dataset}: no training images but the shots in {some([repr(name) for name in reused])}: the "
            "shots are the val images too, so that whatever is chosen on them is chosen on training images"
        )
    for name, images in subsets[seeds[0]].incomplete_classes:
        stage.log(
            f"sample {dataset}: class {name!r} has {images} training images, fewer than shots={shots}: all are taken"
        )
    stage.log(
        f"sample {dataset}: {shots} shots of {len(found.classes)} classes, seeds {seeds}, {len(found.test)} test images"
    )


if __name__ == "__main__":
    stage.run(main)
