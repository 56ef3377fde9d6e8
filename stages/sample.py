"""Draw the few-shot subsets of a dataset, one a seed: which images train, which validate, and the test split."""

from adapt import fewshot, stage
from adapt.data import catalogue
from adapt.data.sampling import sample
from adapt.params import Data


def main(dataset: str, shots: int, seeds: list[int], data: Data) -> None:
    """Write data/fewshot/<dataset>/."""
    found = catalogue.load(dataset, data.home)
    subsets = {seed: sample(found.train, found.val, shots, seed) for seed in seeds}
    fewshot.write(found, subsets, shots)
    for name, images in subsets[seeds[0]].short:
        stage.say(
            f"sample {dataset}: class {name!r} has {images} training images, fewer than shots={shots}: all are taken"
        )
    stage.say(
        f"sample {dataset}: {shots} shots of {len(found.classes)} classes, seeds {seeds}, {len(found.test)} test images"
    )


if __name__ == "__main__":
    stage.run(main)
