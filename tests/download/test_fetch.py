"""Fetching a dataset: from addresses to a folder that its reader accepts."""

import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from adapt.data import readers
from adapt.data.specs import DatasetSpec, JsonSplit, dataset_specs
from adapt.download import fetch
from adapt.download.sources import DownloadSpec, File, Mirror, download_specs
from adapt.errors import UserError
from tests import miniature
from tests.server import Server, serving, sha256

BAR = partial(tqdm, disable=True)
BY_NET = [name for name, given in download_specs().items() if not given.login]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


def packed(folder: Path, top: str) -> bytes:
    """A tar of a folder, under another name as its top."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder, arcname=top)
    return buffer.getvalue()


class Case:
    """A miniature dataset on a server: its entry, and a root to fetch it to."""

    def __init__(self, name: str, server: Server, tmp_path: Path) -> None:
        self.name, self.server = name, server
        self.theirs, self.root = tmp_path / "theirs", tmp_path / "mine"
        self.entry = miniature.make(name, self.theirs)
        self.said: list[str] = []
        self.split: list[str] = []
        if isinstance(self.entry.split, JsonSplit):
            self.split = [server.add("split.json", (self.theirs / self.entry.split.file).read_bytes())]

    def source(self, content: bytes, file: str = "images.tar", **changes) -> Mirror:
        url = self.server.add(f"{len(self.server.files)}/{file}", content)
        known = {"file": file, "urls": [url], "bytes": len(content), "sha256": sha256(content)}
        return Mirror(name="a server", files=[File(**{**known, **changes})])

    def images(self, top: str = "strange/top") -> bytes:
        return packed(self.theirs / self.entry.images[0], top)

    def fetch(self, *sources: Mirror, entry: DatasetSpec | None = None) -> None:
        given = DownloadSpec(licence="free", split=self.split, sources=list(sources))
        fetch.supply(self.name, entry or self.entry, given, self.root, say=self.said.append, bar=BAR)

    def refusal(self, *sources: Mirror) -> str:
        with pytest.raises(UserError) as error:
            self.fetch(*sources)
        return str(error.value)


@pytest.fixture
def dtd(server, tmp_path) -> Case:
    return Case("dtd", server, tmp_path)


@pytest.mark.parametrize("name", BY_NET)
def test_each_dataset_is_fetched_into_coops_layout_and_read(name, server, tmp_path):
    case = Case(name, server, tmp_path)
    case.fetch(case.source(case.images()))
    dataset = readers.read(name, case.entry, case.root)
    assert len(dataset.test) == case.entry.sizes.test and dataset.image(dataset.test[0].path).mode == "RGB"
    assert case.said == [f"{name}: unpacking", f"{name}: complete, in {case.root / case.entry.images[0]}"]
    assert not list(case.root.glob(".downloads/*"))


def test_what_is_here_is_not_fetched_again(dtd):
    source = dtd.source(dtd.images())
    dtd.fetch(source)
    asked = len(dtd.server.asked)
    dtd.fetch(source)
    assert dtd.said[-1] == f"dtd: here, in {dtd.root}/dtd/images" and len(dtd.server.asked) == asked


def test_images_in_torchvisions_layout_need_the_split_only(dtd):
    shutil.copytree(dtd.theirs / "dtd/images", dtd.root / "dtd/dtd/images")
    dtd.fetch(dtd.source(b""))
    assert [path for path, _ in dtd.server.asked] == ["/split.json"]
    assert len(readers.read("dtd", dtd.entry, dtd.root).test) == dtd.entry.sizes.test


def test_an_interrupted_fetch_goes_on_where_it_stopped(dtd):
    source = dtd.source(dtd.images())
    path = source.files[0].urls[0].removeprefix(dtd.server.address)
    dtd.server.cuts[path] = [5000, 0]
    assert "the connection broke off after 5000 bytes" in dtd.refusal(source)
    dtd.fetch(source)
    assert dtd.server.asked[-1] == (path, "bytes=5000-")
    assert readers.read("dtd", dtd.entry, dtd.root).classes


def test_the_next_source_is_tried_and_the_failure_of_the_first_is_said(dtd):
    bad = dtd.source(b"<html>", sha256="0" * 64, bytes=None)
    dtd.fetch(bad, dtd.source(dtd.images()))
    assert dtd.said[0].startswith("dtd: a server: no mirror gave images.tar (http://127.0.0.1:")
    assert dtd.said[-1].startswith("dtd: complete")


def test_two_sources_with_a_file_of_one_name_are_kept_apart(dtd):
    cut = dtd.source(dtd.images("other"))
    dtd.server.cuts[cut.files[0].urls[0].removeprefix(dtd.server.address)] = [5000, 0]
    whole = dtd.source(dtd.images())
    dtd.fetch(cut, whole)
    assert dtd.server.asked[-1] == (whole.files[0].urls[0].removeprefix(dtd.server.address), None)


def test_unsafe_archive_leaves_nothing_in_the_datasets_place(dtd):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("images/banded/1.jpg", b"")
        archive.writestr("../evil.jpg", b"")
    message = dtd.refusal(dtd.source(buffer.getvalue()))
    assert message.startswith("dtd could not be fetched from any source:\n  a server: ")
    assert "its member '../evil.jpg' would be written outside of its folder" in message
    assert not (dtd.root / "dtd/images").exists() and not list(dtd.root.rglob("evil.jpg"))


def test_archive_of_something_else_is_refused(dtd):
    message = dtd.refusal(dtd.source(packed(dtd.theirs / "dtd/images/banded", "images")))
    assert "the archive of dtd does not hold banded anywhere, so it is of another dataset" in message


def test_what_stands_in_the_way_is_named(server, tmp_path):
    cars = Case("stanford_cars", server, tmp_path)
    (cars.root / "stanford_cars/cars_train").mkdir(parents=True)
    message = cars.refusal(cars.source(cars.images()))
    assert f"{cars.root}/stanford_cars holds something else in place of cars_train/00001.jpg; move it away" in message


def test_an_archive_inside_the_archive_is_unpacked(server, tmp_path):
    case = Case("caltech101", server, tmp_path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("caltech-101/101_ObjectCategories.tar.gz", case.images("101_ObjectCategories"))
        archive.writestr("__MACOSX/accordion/image_0001.jpg", b"")
    case.fetch(case.source(buffer.getvalue(), inner="101_ObjectCategories.tar.gz"))
    assert len(readers.read("caltech101", case.entry, case.root).test) == 200


def test_split_that_is_another_is_not_overwritten(dtd):
    path = dtd.root / "dtd/split_zhou_DescribableTextures.json"
    miniature.put(path, b"{}")
    message = dtd.refusal(dtd.source(b""))
    assert message.startswith(f"{path} is not the published split: its SHA-256 is ")
    assert message.endswith("delete it and run again") and path.read_bytes() == b"{}"


def test_archive_put_there_by_hand_is_used(dtd):
    content = dtd.images()
    source = Mirror(name="a server", files=[File(file="x.tar", urls=["http://127.0.0.1:9/x"], sha256=sha256(content))])
    assert f"or put the file at {dtd.root}/.downloads/dtd/0/x.tar yourself" in dtd.refusal(source)
    miniature.put(dtd.root / ".downloads/dtd/0/x.tar", content)
    dtd.fetch(source)
    assert dtd.said[-1].startswith("dtd: complete")


def test_a_disk_that_is_too_small_is_seen_before_anything_is_downloaded(dtd):
    message = dtd.refusal(dtd.source(b"x", bytes=1 << 60))
    assert f"dtd needs 2147483648.0 GiB in {dtd.root}, where " in message
    assert message.endswith("GiB are free; free some, or set ADAPT_DATA to a folder on a larger disk")
    assert [path for path, _ in dtd.server.asked] == ["/split.json"]


def test_tar_that_this_python_cannot_unpack_is_not_downloaded(dtd, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    assert "this Python cannot unpack a tar safely" in dtd.refusal(dtd.source(dtd.images(), file="images.tar.gz"))
    assert not any("images" in path for path, _ in dtd.server.asked)


def test_unknown_name_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="there is nothing to fetch for 'eurosta'; did you mean 'eurosat'?"):
        fetch.fetch("eurosta", tmp_path, say=print, bar=BAR)


def test_imagenet_says_what_to_put_where(tmp_path):
    with pytest.raises(UserError) as error:
        fetch.fetch("imagenet", tmp_path, say=print, bar=BAR)
    assert str(error.value) == (
        "imagenet needs an account and consent to its terms: download ILSVRC2012_img_train.tar (137.7 GiB), "
        "ILSVRC2012_img_val.tar (6.3 GiB), ILSVRC2012_devkit_t12.tar.gz at "
        f"https://image-net.org/challenges/LSVRC/2012/2012-downloads.php, put them into {tmp_path}/imagenet and run "
        "`python -m adapt data fetch imagenet` again, which unpacks them; or put the class folders into "
        f"{tmp_path}/imagenet/images/train and {tmp_path}/imagenet/images/val"
    )


def put_tar(path: Path, **files: bytes) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def imagenet(tmp_path, monkeypatch) -> Path:
    """A root with ImageNet's three archives, one image per class.

    The validation images are in reverse order.
    """
    from scipy.io import savemat
    from torchvision.datasets import imagenet as theirs

    home = tmp_path / "imagenet"
    home.mkdir()
    wnids = list(readers.imagenet_names())
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    synsets = np.array([(i + 1, wnid, "name", "gloss", 0) for i, wnid in enumerate(wnids)], dtype=kind)
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": synsets})
    truth = "".join(f"{i}\n" for i in range(1000, 0, -1)).encode()
    data = "ILSVRC2012_devkit_t12/data/"
    put_tar(
        home / "ILSVRC2012_devkit_t12.tar.gz",
        **{f"{data}meta.mat": buffer.getvalue(), f"{data}ILSVRC2012_validation_ground_truth.txt": truth},
    )
    images = {f"ILSVRC2012_val_{i:08d}.JPEG": miniature.JPEG for i in range(1, 1001)}
    put_tar(home / "ILSVRC2012_img_val.tar", **images)
    classes = {}
    for wnid in wnids:
        put_tar(home / "class.tar", **{f"{wnid}_1.JPEG": miniature.JPEG})
        classes[f"{wnid}.tar"] = (home / "class.tar").read_bytes()
    (home / "class.tar").unlink()
    put_tar(home / "ILSVRC2012_img_train.tar", **classes)
    known = {
        part: (file, hashlib.md5((home / file).read_bytes()).hexdigest())
        for part, (file, _) in theirs.ARCHIVE_META.items()
    }
    monkeypatch.setattr(theirs, "ARCHIVE_META", known)
    return tmp_path


def test_imagenets_archives_are_unpacked_and_sorted(imagenet):
    miniature.put(imagenet / "imagenet/images/train.partial/rest", b"of an interrupted run")
    said: list[str] = []
    fetch.fetch("imagenet", imagenet, say=said.append, bar=BAR)
    dataset = readers.read("imagenet", dataset_specs()["imagenet"], imagenet)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (1000, 0, 1000)
    assert dataset.test[0].path == "val/n01440764/ILSVRC2012_val_00001000.JPEG" and dataset.test[0].name == "tench"
    assert said[-1] == f"imagenet: complete, in {imagenet}/imagenet/images"
    assert sorted(path.name for path in (imagenet / "imagenet/images").iterdir()) == ["train", "val"]


def test_broken_archive_of_imagenet_is_named(tmp_path):
    for file in download_specs()["imagenet"].sources[0].files:
        miniature.put(tmp_path / "imagenet" / file.file, b"half")
    with pytest.raises(UserError) as error:
        fetch.fetch("imagenet", tmp_path, say=print, bar=BAR)
    assert str(error.value).startswith(
        f"{tmp_path}/imagenet: The archive ILSVRC2012_devkit_t12.tar.gz is not present in the root directory or is corr"
    )
    assert not (tmp_path / "imagenet/images").exists()


def test_every_dataset_of_the_catalogue_has_a_supply():
    assert list(download_specs()) == list(dataset_specs())
    assert all(
        bool(given.split) == isinstance(dataset_specs()[name].split, JsonSplit)
        for name, given in download_specs().items()
    )


@pytest.mark.parametrize("name", BY_NET)
def test_every_file_has_a_checksum_or_a_fixed_revision_that_states_one(name):
    for file in (file for source in download_specs()[name].sources for file in source.files):
        assert file.urls
        assert file.sha256 or file.md5 or all("huggingface.co" in url and len(revision(url)) == 40 for url in file.urls)


def revision(url: str) -> str:
    return url.partition("/resolve/")[2].partition("/")[0]


def test_most_datasets_have_more_than_one_address():
    lone = [name for name in BY_NET if sum(len(f.urls) for s in download_specs()[name].sources for f in s.files) < 2]
    assert lone == ["stanford_cars", "sun397", "ucf101"]  # the originals are gone, or were never published
