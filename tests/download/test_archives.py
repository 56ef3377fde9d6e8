"""Archives from elsewhere: which ones are unpacked, and which are refused."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from adapt.download.archives import unpack
from adapt.errors import UserError


def tar(path: Path, *members: tuple[str, bytes], mode: str = "w:gz", change: Callable | None = None) -> Path:
    """A tar of files, the first of which may be changed into something else."""
    with tarfile.open(path, mode) as packed:
        for number, (name, content) in enumerate(members):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if change and not number:
                change(member)
            packed.addfile(member, io.BytesIO(content))
    return path


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return path


def refusal(archive: Path, folder: Path) -> str:
    with pytest.raises(UserError) as error:
        unpack(archive, folder / "out")
    return str(error.value)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_of_any_compression_is_unpacked(mode, tmp_path):
    unpack(tar(tmp_path / "x", ("a/b.jpg", b"image"), mode=mode), tmp_path / "out")
    assert (tmp_path / "out/a/b.jpg").read_bytes() == b"image"


def test_tar_is_refused_by_a_python_that_cannot_check_its_members(tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    archive = tar(tmp_path / "x", ("a/b.jpg", b"image"))
    assert refusal(archive, tmp_path) == f"{archive}: this Python cannot unpack a tar safely; use 3.11.4 or later"
    assert not any((tmp_path / "out").iterdir())


def test_zip_is_unpacked_by_a_python_that_cannot_check_tars(tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    unpack(zipped(tmp_path / "x", ("a/b.jpg", b"image")), tmp_path / "out")
    assert (tmp_path / "out/a/b.jpg").read_bytes() == b"image"


def test_zip_is_unpacked(tmp_path):
    unpack(zipped(tmp_path / "x", ("a/b.jpg", b"image")), tmp_path / "out")
    assert (tmp_path / "out/a/b.jpg").read_bytes() == b"image"


@pytest.mark.parametrize("make", [tar, zipped])
def test_two_dots_in_a_name_are_no_way_out(make, tmp_path):
    unpack(make(tmp_path / "x", ("a/photo..jpg", b"image")), tmp_path / "out")
    assert (tmp_path / "out/a/photo..jpg").read_bytes() == b"image"


@pytest.mark.parametrize("make", [tar, zipped])
@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt"])
def test_member_that_leads_out_is_refused(make, name, tmp_path):
    said = refusal(make(tmp_path / "x", (name, b"evil")), tmp_path)
    assert said.startswith(f"{tmp_path}/x cannot be unpacked (") and "outside" in said and repr(name) in said
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.mark.parametrize("make", [tar, zipped])
def test_absolute_member_is_refused_or_stays_in_the_folder(make, tmp_path):
    evil = tmp_path / "elsewhere/evil.txt"
    with suppress(UserError):
        unpack(make(tmp_path / "x", (str(evil), b"evil")), tmp_path / "out")
    assert not evil.exists()


def link(kind: bytes, target: str) -> Callable:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname, member.size = kind, target, 0

    return change


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc", "../../etc"])
def test_link_out_of_a_tar_is_refused(kind, target, tmp_path):
    archive = tar(tmp_path / "x", ("a", b""), ("a/passwd", b"evil"), change=link(kind, target))
    said = refusal(archive, tmp_path)
    assert said.startswith(f"{archive} cannot be unpacked (") and "'a'" in said and "link" in said


def test_link_in_a_zip_is_unpacked_as_a_file(tmp_path):
    info = zipfile.ZipInfo("a")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    unpack(zipped(tmp_path / "x", (info, b"/etc")), tmp_path / "out")
    assert (tmp_path / "out/a").is_file() and not (tmp_path / "out/a").is_symlink()


def test_device_is_refused(tmp_path):
    archive = tar(tmp_path / "x", ("a", b""), change=link(tarfile.CHRTYPE, ""))
    assert "'a' is a special file" in refusal(archive, tmp_path)


@pytest.mark.parametrize("make", [tar, zipped])
def test_truncated_archive_is_named(make, tmp_path):
    archive = make(tmp_path / "x", *((f"{n}.jpg", bytes(range(256)) * n) for n in range(9)))
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    assert refusal(archive, tmp_path).startswith(f"{archive} cannot be unpacked (")


@pytest.mark.parametrize("make", [tar, zipped])
def test_file_and_folder_of_one_name_are_refused(make, tmp_path):
    archive = make(tmp_path / "x", ("a", b"file"), ("a/b", b"in a folder"))
    assert refusal(archive, tmp_path).startswith(f"{archive} cannot be unpacked (")


def test_what_is_no_archive_is_named(tmp_path):
    (tmp_path / "x").write_bytes(b"<html>not found</html>")
    assert refusal(tmp_path / "x", tmp_path) == (
        f"{tmp_path}/x cannot be unpacked (File is not a zip file); delete it and fetch it again"
    )
