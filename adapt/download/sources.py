"""Download sources of each dataset: the entries of sources.yaml, typed."""

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from adapt.data.specs import Sha256, Strict
from adapt.runtime import yaml

FILE = Path(__file__).with_name("sources.yaml")


class File(Strict):
    """One file to download: copies of the same bytes at several addresses."""

    file: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]  # a name, not a path
    urls: list[Annotated[str, Field(pattern="^https?://")]] = Field(default_factory=list)
    bytes: int | None = None
    sha256: Sha256 | None = None
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    inner: str | None = None


class Mirror(Strict):
    """Files that together hold all of a dataset's images."""

    name: str
    files: Annotated[list[File], Field(min_length=1)]

    def size(self) -> int | None:
        """Return the number of bytes of its files, as far as they are known."""
        known = [file.bytes for file in self.files if file.bytes]
        return sum(known) or None


class DownloadSpec(Strict):
    """A dataset's licence, addresses of its split file, and its sources.

    Each source has all the images.
    """

    licence: str
    login: str | None = None
    split: list[str] = Field(default_factory=list)
    sources: Annotated[list[Mirror], Field(min_length=1)]


@cache
def download_specs() -> dict[str, DownloadSpec]:
    """Return all entries by the dataset's name."""
    return {name: DownloadSpec(**fields) for name, fields in yaml.parse(FILE.read_bytes()).items()}
