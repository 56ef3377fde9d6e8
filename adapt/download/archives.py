"""Unpack archives that come from elsewhere: nothing leaves the folder, and the message names a broken archive."""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from adapt.errors import UserError

BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, shutil.ReadError, EOFError, zlib.error, lzma.LZMAError),
    *(RuntimeError, NotImplementedError, ValueError),  # zipfile's for a password, a compression, a name
    *(FileExistsError, NotADirectoryError, IsADirectoryError),  # a file and a folder of one name
)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar (also compressed) or zip archive into `folder`.

    Raises: UserError for an archive that is broken or has a member with a place or a link outside of the folder, and
    for a tar where Python does not refuse such members (3.11.0 to 3.11.3). What was unpacked until then stays: unpack
    into a folder that is thrown away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if tarfile.is_tarfile(archive):
            check_python(archive)
            shutil.unpack_archive(archive, folder, "tar", filter="data")
        else:
            unpack_zip(archive, folder)
    except BROKEN as error:
        raise UserError(f"{archive} cannot be unpacked ({error}); delete it and fetch it again") from None


def check_python(tar: Path) -> None:
    """Raises UserError where Python does not refuse members of a tar that lead out of the folder (3.11.0 to 3.11.3)."""
    if not hasattr(tarfile, "data_filter"):
        raise UserError(f"{tar}: this Python cannot unpack a tar safely; use 3.11.4 or later")


def is_named_tar(archive: str) -> bool:
    """Whether an archive is a tar by its name, before it is there."""
    return archive.endswith((".tar", ".tgz", ".tar.gz"))


def unpack_zip(archive: Path, folder: Path) -> None:
    """All members; shutil would skip, without a word, those that lead out of the folder or have `..` in their name."""
    with zipfile.ZipFile(archive) as packed:
        for name in packed.namelist():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise zipfile.BadZipFile(f"its member {name!r} would be written outside of its folder")
        packed.extractall(folder)
