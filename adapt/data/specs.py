"""The catalogue's entries, datasets.yaml typed: what decides which images a downloaded dataset consists of."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from adapt.runtime import yaml

FILE = Path(__file__).with_name("datasets.yaml")


def with_name(template: str) -> str:
    """Refuse a template that has no single place for the class name, or braces for anything else."""
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
    """CoOp's split_zhou file: where it lies under the root, and its checksum."""

    kind: Literal["json"]
    file: str
    sha256: Sha256


class ListSplit(Strict):
    """FGVC's lists, which lie beside its images: the checksum of each file."""

    kind: Literal["lists"]
    sha256: dict[str, Sha256]


class FolderSplit(Strict):
    """One folder per class below a split's folder, named by wnid or by the class's number."""

    kind: Literal["folders"]
    named: Literal["wnid", "number"]
    train: str | None = None
    test: str


class DatasetSpec(Strict):
    """A dataset; the fields are explained at the head of datasets.yaml."""

    template: Template
    classes: int
    sizes: Sizes
    images: Annotated[list[str], Field(min_length=1)]
    required_files: Annotated[list[str], Field(min_length=1)]
    split: Annotated[JsonSplit | ListSplit | FolderSplit, Field(discriminator="kind")]
    twins: list[str] = []

    def image_dir(self, root: Path) -> Path | None:
        """The folder of the images under `root`, in whichever layout is found first."""
        return next((root / place for place in self.images if self.is_home(root / place)), None)

    def is_home(self, folder: Path) -> bool:
        """Whether a folder holds what the images' folder has to hold."""
        return all((folder / held).exists() for held in self.required_files)


@cache
def dataset_specs() -> dict[str, DatasetSpec]:
    """All entries by the dataset's name."""
    return {name: DatasetSpec(**fields) for name, fields in yaml.parse(FILE.read_bytes()).items()}
