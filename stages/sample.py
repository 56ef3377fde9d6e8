"""Draw the few-shot subsets of a dataset, one per seed.

They say which images are for training and which for validation; the test split is written once.
"""

from adapt.data import catalog
from adapt.pipeline import fewshot, stage
from adapt.pipeline.params import DataConfig


def main(dataset: str, shots: int, seeds: list[int], data: DataConfig) -> None:
    """Write data/fewshot/<dataset>/."""
    found = catalog.load(dataset, data.folder)
    subsets = {seed: found.few_shot(shots, seed) for seed in seeds}
    fewshot.write(found, subsets, shots)
    for line in [*catalog.remarks(found, data.folder), *subsets[seeds[0]].remarks()]:
        stage.log(f"sample {dataset}: {line}")
    stage.log(
        f"sample {dataset}: {shots} shots of {len(found.classes)} classes, seeds {seeds}, {len(found.test)} test images"
    )


if __name__ == "__main__":
    stage.run(main)
