"""Fetch a dataset: its split file, then its images.

The images come from the first source that works.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from adapt.data.specs import DatasetSpec, JsonSplit, dataset_specs
from adapt.download import imagenet
from adapt.download.archives import check_python, is_named_tar, unpack
from adapt.download.http import Bar, download, mismatch, size
from adapt.download.sources import DownloadSpec, File, Mirror, download_specs
from adapt.errors import UserError, nearest

WORK = ".downloads"  # under the root, so that complete files only have to be renamed
GIB = 1 << 30

Say = Callable[[str], object]


def fetch(name: str, root: Path, *, say: Say, bar: Bar) -> None:
    """Fetch the missing parts of a dataset of the catalogue into `root`.

    The files are laid out as in CoOp.

    Raises: UserError for an unknown name, if all sources fail, or to say what has to be downloaded by hand.
    """
    if name not in dataset_specs():
        raise UserError(f"there is nothing to fetch for {name!r}; {nearest(name, dataset_specs())}")
    supply(name, dataset_specs()[name], download_specs()[name], root, say=say, bar=bar)


def supply(name: str, entry: DatasetSpec, given: DownloadSpec, root: Path, *, say: Say, bar: Bar) -> None:
    """Fetch a dataset as `fetch` does, from the given entries."""
    root.mkdir(parents=True, exist_ok=True)
    work = root / WORK / name
    if isinstance(entry.split, JsonSplit):
        download_split(entry.split, given.split, root, work / "split", bar)
    if (home := entry.image_dir(root)) is not None:
        say(f"{name}: here, in {home}")
        return
    if given.login:
        unpack_by_hand(name, given, root / entry.images[0], say)
    else:
        get_images(name, entry, given.sources, root, work, say=say, bar=bar)
    shutil.rmtree(work, ignore_errors=True)
    say(f"{name}: complete, in {entry.image_dir(root)}")


def download_split(split: JsonSplit, urls: list[str], root: Path, work: Path, bar: Bar) -> None:
    """Download the split file to its place, unless it is there."""
    path = root / split.file
    if path.is_file():
        problem = mismatch(path, split.sha256, None)
        if problem:
            raise UserError(f"{path} is not the published split: {problem}; delete it and run again")
        return
    found = download(File(file=path.name, urls=urls, sha256=split.sha256), work, bar)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.rename(path)


def get_images(
    name: str, entry: DatasetSpec, sources: list[Mirror], root: Path, work: Path, *, say: Say, bar: Bar
) -> None:
    """Fetch the images to their place, from the first source that works."""
    reasons = []
    for number, source in enumerate(sources):
        folder = work / str(number)
        try:
            check_disk_space(name, source, folder, root)
            for file in source.files:  # before gigabytes are downloaded that could not be unpacked
                if is_named_tar(file.file):
                    check_python(folder / file.file)
            archives = [download(file, folder, bar) for file in source.files]
            say(f"{name}: unpacking")
            unpacked = unpack_all(archives, source.files, work / "unpacked")
            move_into_place(name, entry, unpacked, root)
            return
        except UserError as error:
            say(f"{name}: {source.name}: {error}")
            reasons.append(f"  {source.name}: {error}")
    raise UserError("\n".join([f"{name} could not be fetched from any source:", *reasons]))


def check_disk_space(name: str, source: Mirror, folder: Path, root: Path) -> None:
    """Refuse to start a download that the disk cannot hold.

    It needs room for archive and images, less what has been downloaded already.
    """
    there = sum(size(folder / f"{file.file}{end}") for file in source.files for end in ("", ".partial"))
    needed, free = 2 * (source.size() or 0) - there, shutil.disk_usage(root).free
    if needed > free:
        raise UserError(
            f"{name} needs {needed / GIB:.1f} GiB in {root}, where {free / GIB:.1f} GiB are free; free some, or set "
            "ADAPT_DATA to a folder on a larger disk"
        )


def unpack_all(archives: list[Path], files: list[File], folder: Path) -> Path:
    """Unpack the archives into a new folder and return it."""
    shutil.rmtree(folder, ignore_errors=True)
    for archive, file in zip(archives, files, strict=True):
        unpack(archive, folder)
        if file.inner:
            inner = next(folder.rglob(file.inner), None)
            if inner is None:
                raise UserError(f"{archive} does not hold {file.inner}; delete it and run again")
            unpack(inner, inner.parent)
            inner.unlink()
    return folder


def move_into_place(name: str, entry: DatasetSpec, unpacked: Path, root: Path) -> None:
    """Move the folder of the images to its place in CoOp's layout.

    The folder may be anywhere in the archive.
    """
    places = (Path(place) for place, _, _ in os.walk(unpacked) if "__MACOSX" not in place)
    found = next((place for place in places if entry.is_home(place)), None)
    if found is None:
        raise UserError(
            f"the archive of {name} does not hold {entry.required_files[0]} anywhere, so it is of another dataset"
        )
    target = root / entry.images[0]
    if target.exists():  # it holds a split file or more
        for child in sorted(found.iterdir()):
            if not (target / child.name).exists():
                child.rename(target / child.name)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        found.rename(target)
    if not entry.is_home(target):
        raise UserError(
            f"{target} holds something else in place of {entry.required_files[0]}; move it away and run again"
        )


def unpack_by_hand(name: str, given: DownloadSpec, target: Path, say: Say) -> None:
    """Unpack ImageNet's archives, which were downloaded by hand.

    Raises: UserError that says which archives are missing and where to put them.
    """
    folder = target.parent
    missing = [file for file in given.sources[0].files if not (folder / file.file).is_file()]
    if missing:
        sizes = {file.file: f" ({file.bytes / GIB:.1f} GiB)" if file.bytes else "" for file in missing}
        wanted = ", ".join(f"{file}{size}" for file, size in sizes.items())
        raise UserError(
            f"{name} needs an account and consent to its terms: download {wanted} at {given.login}, put them into "
            f"{folder} and run `python -m adapt data fetch {name}` again, which unpacks them; or put the class folders "
            f"into {target}/train and {target}/val"
        )
    say(f"{name}: unpacking, which takes a while")
    imagenet.unpack(folder)
