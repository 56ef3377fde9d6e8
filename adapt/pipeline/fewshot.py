"""The few-shot subsets on disk: data/fewshot/<dataset>/.

The stage `sample` writes them, and the other stages read them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from adapt.data.dataset import Dataset, FewShotDataset
from adapt.data.sampling import Sample
from adapt.errors import UserError
from adapt.runtime import files, formats

ROOT = Path("data/fewshot")
COLUMNS = ("split", *Sample._fields)
SEEDED = ("train", "val")  # the splits that a seed draws


class Description(NamedTuple):
    """The content of dataset.json.

    It holds the dataset, and how many images of train and val each seed has drawn.
    """

    dataset: str
    template: str
    classes: list[str]
    sizes: dict[str, int]
    shots: int
    drawn: dict[str, dict[str, int]]


def write(dataset: Dataset, subsets: Mapping[int, FewShotDataset], shots: int) -> None:
    """Write the description, the test split and, per seed, the chosen images."""
    with files.atomic_dir(ROOT / dataset.name) as path:
        sizes = {split: len(getattr(dataset, split)) for split in ("train", "val", "test")}
        drawn = {str(seed): {"train": len(subset.train), "val": len(subset.val)} for seed, subset in subsets.items()}
        description = Description(dataset.name, dataset.template, list(dataset.classes), sizes, shots, drawn)
        formats.write_json(path / "dataset.json", description._asdict())
        formats.write_csv(path / "test.csv", COLUMNS, rows("test", dataset.test))
        for seed, subset in subsets.items():
            chosen = [*rows("train", subset.train), *rows("val", subset.val)]
            formats.write_csv(path / f"seed_{seed}.csv", COLUMNS, chosen)


def rows(split: str, items: Iterable[Sample]) -> list[dict[str, Any]]:
    """Return samples as rows of a CSV file."""
    return [{"split": split, **item._asdict()} for item in items]


def describe(dataset: str) -> Description:
    """Return the description of a sampled dataset."""
    path = ROOT / dataset / "dataset.json"
    try:
        return TypeAdapter(Description).validate_python(formats.read_json(path, made_by(dataset)))
    except ValidationError as error:
        raise unlike(path, f"{error.error_count()} wrong or missing entries", dataset) from None


def file(dataset: str, seed: int | None) -> Path:
    """Return the path of a seed's subset."""
    return ROOT / dataset / f"seed_{seed}.csv"


def read(dataset: str, seed: int | None, split: str) -> list[Sample]:
    """Return the samples of a split: train and val of the seed, test of all seeds.

    Raises: UserError for a file that is missing, broken or incomplete.
    """
    path = ROOT / dataset / "test.csv" if split == "test" else file(dataset, seed)
    found = formats.read_csv(path, made_by(dataset))
    try:
        items = [Sample(row["path"], int(row["label"]), row["name"]) for row in found if row["split"] == split]
    except (KeyError, TypeError, ValueError) as error:
        raise unlike(path, str(error), dataset) from None
    described = describe(dataset)
    whole = (described.sizes if split == "test" else described.drawn.get(str(seed), {})).get(split)
    if len(items) != whole:
        raise unlike(path, f"{len(items)} images of {split} instead of {whole}", dataset)
    strange = next((item for item in items if not 0 <= item.label < len(described.classes)), None)
    if strange:
        raise unlike(
            path, f"label {strange.label} of {strange.path}, where there are {len(described.classes)} classes", dataset
        )
    return items


def read_to_score(dataset: str, seed: int, split: str) -> list[Sample]:
    """Return the samples of a split to be scored.

    Raises: UserError as `read`, and if val images are training images, for which accuracy means nothing.
    """
    items = read(dataset, seed, split)
    if split == "val" and (
        seen := {item.path for item in read(dataset, seed, "train")} & {item.path for item in items}
    ):
        raise UserError(
            f"params.yaml: evaluate.split: {len(seen)} of {len(items)} val images of {dataset} are training images, "
            f"the first {min(seen)}, since it has no others: give the dataset a val split, lower shots, or set test"
        )
    return items


def unlike(path: Path, reason: str, dataset: str) -> UserError:
    """Return the error for a file that `sample` would not write."""
    return UserError(f"{path} is not as `sample` writes it ({reason}); make it again with `{made_by(dataset)} -f`")


def made_by(dataset: str) -> str:
    """Return the command that makes these files."""
    return f"dvc repro sample@{dataset}"
