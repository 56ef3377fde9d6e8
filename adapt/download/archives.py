"""Unpack archives from untrusted sources.

No member is written outside the target folder, and the error for a broken archive names it.
"""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from adapt.errors import UserError

BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, shutil.ReadError, EOFError, zlib.error, lzma.LZMAError),
    *(RuntimeError, NotImplementedError, ValueError),  # from zipfile: a password, an unknown compression, a bad name
    *(FileExistsError, NotADirectoryError, IsADirectoryError),  # a file and a folder with the same name
)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar (also compressed) or zip archive into `folder`.

    When it fails, the members unpacked so far stay: unpack into a folder that can be thrown away.

    Raises: UserError for a broken archive, for a member whose path or link leads out of the folder, and for a tar under
    a Python that does not refuse such members (3.11.0 to 3.11.3).
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
    """Raise UserError if this Python does not unpack a tar safely.

    Python 3.11.0 to 3.11.3 does not refuse members of a tar that lead out of the folder.
    """
    if not hasattr(tarfile, "data_filter"):
        raise UserError(f"{tar}: this Python cannot unpack a tar safely; use 3.11.4 or later")


def is_named_tar(archive: str) -> bool:
    """Return whether an archive's name is that of a tar; it need not exist yet."""
    return archive.endswith((".tar", ".tgz", ".tar.gz"))


def unpack_zip(archive: Path, folder: Path) -> None:
    """Unpack all members of a zip archive.

    shutil would silently skip members that lead out of the folder or have `..` in their name.
    """
    with zipfile.ZipFile(archive) as packed:
        for name in packed.namelist():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise zipfile.BadZipFile(f"its member {name!r} would be written outside of its folder")
        packed.extractall(folder)
