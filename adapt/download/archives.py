"""Unpacking archives that come from elsewhere: nothing leaves the folder, nothing outgrows the archive."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from adapt.errors import UserError

RATIO = 4  # images hardly shrink: an archive that grows more than so many times is none of images
LEAST = 1 << 26  # bytes that any archive may grow to
BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError),
    *(RuntimeError, NotImplementedError, ValueError),  # zipfile's for a password, a compression, a name
    *(FileExistsError, NotADirectoryError, IsADirectoryError),  # a file and a folder of one name
)
HEADER = 512  # bytes that a member counts at least, so that a million empty files are not nothing


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar (also compressed) or zip archive into `folder`.

    Raises: UserError for an archive that is broken, has members with a place or a link outside of the folder, or grows
    too large. What was unpacked until then stays: unpack into a folder that is thrown away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with refusing_broken(archive):
        if tarfile.is_tarfile(archive):
            unpack_tar(archive, folder)
        else:
            unpack_zip(archive, folder)


def unpack_tar(archive: Path, folder: Path) -> None:
    """Member by member, each checked before it is written; tarfile's own filter deals with links and modes."""
    budget = Budget(archive)
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            budget.take(member.name, member.size if member.isreg() else 0)
            try:
                tar.extract(member, folder, filter="data")
            except (tarfile.AbsoluteLinkError, tarfile.LinkOutsideDestinationError):
                raise refusal(archive, member.name, f"is a link out of its folder, to {member.linkname!r}") from None
            except tarfile.FilterError:
                raise refusal(archive, member.name, "is neither a file nor a folder in it") from None


def unpack_zip(archive: Path, folder: Path) -> None:
    """All members are checked before the first is written; zipfile writes no more of one than it declares."""
    budget = Budget(archive)
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            budget.take(member.filename, member.file_size)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise refusal(archive, member.filename, "is a link, which zip archives of images have no use for")
        packed.extractall(folder)


class Budget:
    """How much an archive may still unpack, and whether a member's name stays inside."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.limit = self.left = max(RATIO * archive.stat().st_size, LEAST)

    def take(self, name: str, size: int) -> None:
        """Account for a member; raises UserError where it must not be unpacked."""
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise refusal(self.archive, name, "would be written outside of its folder")
        self.left -= max(size, HEADER)
        if self.left < 0:
            raise UserError(
                f"{self.archive} is refused: it unpacks to more than {self.limit} bytes, too much for its size; "
                "delete it and fetch it again"
            )


def refusal(archive: Path, name: str, why: str) -> UserError:
    """The error for a member that is not unpacked."""
    return UserError(f"{archive} is refused: its member {name!r} {why}; delete it and fetch it again")


@contextmanager
def refusing_broken(archive: Path) -> Iterator[None]:
    """Say which archive is broken."""
    try:
        yield
    except BROKEN as error:
        raise UserError(f"{archive} cannot be unpacked ({error}); delete it and fetch it again") from None
