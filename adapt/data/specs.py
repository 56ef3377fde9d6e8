"""The entries of datasets.yaml, typed.

They decide which images a downloaded dataset consists of.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from adapt.runtime import yaml

FILE = Path(__file__).with_name("datasets.yaml")


def with_name(template: str) -> str:
    """Refuse a template unless it has one {} for the class name.

    It may have no other braces.
    """
    if template.count("{}") != 1 or template.count("{") + template.count("}") != 2:
        raise ValueError(f"a template has one {{}} for the class name, got {template!r}")
    return template


Template = Annotated[str, AfterValidator(with_name)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """Read-only, no conversions, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Sizes(Strict):
    """Images per split."""

    train: int
    val: int
    test: int


class JsonSplit(Strict):
    """CoOp's split_zhou file: its path under the root, and its checksum."""

    kind: Literal["json"]
    file: str
    sha256: Sha256


class ListSplit(Strict):
    """FGVC's lists, which lie beside its images: the checksum of each file."""

    kind: Literal["lists"]
    sha256: dict[str, Sha256]


class FolderSplit(Strict):
    """A folder per class inside a split's folder.

    It is named by the class's wnid or number.
    """

    kind: Literal["folders"]
    named: Literal["wnid", "number"]
    train: str | None = None
    test: str


class DatasetSpec(Strict):
    """A downloaded dataset; the head of datasets.yaml explains the fields."""

    template: Template
    classes: int
    sizes: Sizes
    images: Annotated[list[str], Field(min_length=1)]
    required_files: Annotated[list[str], Field(min_length=1)]
    split: Annotated[JsonSplit | ListSplit | FolderSplit, Field(discriminator="kind")]
    twins: list[str] = []

    def image_dir(self, root: Path) -> Path | None:
        """Return the folder of the images under `root`.

        It is the first of the layouts in `images` that is found.
        """
        return next((root / place for place in self.images if self.is_home(root / place)), None)

    def is_home(self, folder: Path) -> bool:
        """Return whether a folder holds the files required of the image folder."""
        return all((folder / held).exists() for held in self.required_files)


@cache
def dataset_specs() -> dict[str, DatasetSpec]:
    """Return all entries by the dataset's name."""
    return {name: DatasetSpec(**fields) for name, fields in yaml.parse(FILE.read_bytes()).items()}
