"""Downloads: mirrors in order, resumed where they stopped, held to a checksum."""

import errno
import gzip
from functools import partial
from pathlib import Path

import pytest
from tqdm import tqdm

from adapt.download.http import download
from adapt.download.sources import File
from adapt.errors import UserError
from tests.server import Server, serving, sha256

BAR = partial(tqdm, disable=True)
CONTENT = bytes(range(256)) * 4000
DOWN = "http://127.0.0.1:9/x.tar"  # the port of the discard service, on which nothing listens


@pytest.fixture
def server():
    with serving() as found:
        yield found


def file(*urls: str, **changes) -> File:
    known = {"file": "x.tar", "urls": list(urls), "bytes": len(CONTENT), "sha256": sha256(CONTENT)}
    return File(**{**known, **changes})


def refusal(wanted: File, folder: Path) -> str:
    with pytest.raises(UserError) as error:
        download(wanted, folder, BAR)
    return str(error.value)


def test_a_file_is_downloaded_whole_and_takes_its_name_last(server: Server, tmp_path):
    found = download(file(server.add("x", CONTENT)), tmp_path, BAR)
    assert found == tmp_path / "x.tar" and found.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


def test_a_file_that_is_there_is_not_downloaded_again(server: Server, tmp_path):
    (tmp_path / "x.tar").write_bytes(CONTENT)
    download(file(server.add("x", CONTENT)), tmp_path, BAR)
    assert not server.asked


def test_another_file_put_there_by_hand_is_refused(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"<html>")
    assert refusal(file(DOWN), tmp_path) == (
        f"{tmp_path}/x.tar is not the published file: its SHA-256 is {sha256(b'<html>')[:12]}…, "
        f"not {sha256(CONTENT)[:12]}… (6 bytes); delete it and run again"
    )


def test_the_second_mirror_is_tried_where_the_first_is_down(server: Server, tmp_path):
    found = download(file(DOWN, f"{server.address}/none", server.add("x", CONTENT)), tmp_path, BAR)
    assert found.read_bytes() == CONTENT


def test_each_mirrors_failure_is_said(server: Server, tmp_path):
    assert refusal(file(DOWN, f"{server.address}/none"), tmp_path) == (
        f"no mirror gave x.tar ({DOWN}: no connection; {server.address}/none: HTTP 404): run again to resume, "
        f"or put the file at {tmp_path}/x.tar yourself"
    )


def test_a_connection_that_breaks_off_is_resumed(server: Server, tmp_path):
    url = server.add("x", CONTENT)
    server.cuts["/x"] = [1000, 5000]
    assert download(file(url), tmp_path, BAR).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=1000-", "bytes=6000-"]


def test_the_second_mirror_goes_on_where_the_first_stopped(server: Server, tmp_path):
    first, second = server.add("a", CONTENT), server.add("b", CONTENT)
    server.cuts["/a"] = [1000, 0]
    assert download(file(first, second), tmp_path, BAR).read_bytes() == CONTENT
    assert server.asked[-1] == ("/b", "bytes=1000-")


def test_a_second_run_goes_on_where_the_first_stopped(server: Server, tmp_path):
    url = server.add("x", CONTENT)
    server.cuts["/x"] = [1000, 0]
    assert f"{url}: the connection broke off after 1000 bytes" in refusal(file(url), tmp_path)
    assert (tmp_path / "x.tar.partial").stat().st_size == 1000
    assert download(file(url), tmp_path, BAR).read_bytes() == CONTENT
    assert server.asked[-1] == ("/x", "bytes=1000-")


def test_a_server_that_cannot_resume_starts_again(server: Server, tmp_path):
    server.resumes = False
    (tmp_path / "x.tar.partial").write_bytes(CONTENT[:1000])
    assert download(file(server.add("x", CONTENT)), tmp_path, BAR).read_bytes() == CONTENT


def test_a_whole_file_that_lacks_only_its_name_is_not_sent_again(server: Server, tmp_path):
    (tmp_path / "x.tar.partial").write_bytes(CONTENT)
    assert download(file(server.add("x", CONTENT)), tmp_path, BAR).read_bytes() == CONTENT
    assert server.asked == [("/x", f"bytes={len(CONTENT)}-")]


def test_a_wrong_beginning_is_thrown_away(server: Server, tmp_path):
    (tmp_path / "x.tar.partial").write_bytes(b"another file's beginning")
    assert download(file(server.add("x", CONTENT)), tmp_path, BAR).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_is_left(server: Server, tmp_path):
    url = server.add("x", CONTENT[::-1])
    got, expected = sha256(CONTENT[::-1])[:12], sha256(CONTENT)[:12]
    assert f"{url}: its SHA-256 is {got}…, not {expected}… (1024000 bytes)" in refusal(file(url), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_truncated_file_is_refused(server: Server, tmp_path):
    assert "x: it ended after 999 of 1024000 bytes" in refusal(file(server.add("x", CONTENT[:999])), tmp_path)


def test_more_bytes_than_the_file_has_are_not_taken(server: Server, tmp_path):
    url = server.add("x", CONTENT * 9)
    assert f"{url}: it sends more than the file's 1024000 bytes" in refusal(file(url), tmp_path)


def test_an_md5_serves_where_no_sha256_is_published(server: Server, tmp_path):
    wanted = file(server.add("x", CONTENT), sha256=None, md5="0" * 32, bytes=None)
    assert "its MD5 is " in refusal(wanted, tmp_path)


def test_a_file_without_a_published_checksum_is_held_to_the_one_that_the_server_states(server: Server, tmp_path):
    server.add("x", CONTENT)
    wanted = file(f"{server.address}/linked/x", sha256=None, bytes=None)
    server.stated["/linked/x"] = sha256(b"another")
    assert f"its SHA-256 is {sha256(CONTENT)[:12]}…, not {sha256(b'another')[:12]}…" in refusal(wanted, tmp_path)
    server.stated["/linked/x"] = sha256(CONTENT)
    assert download(wanted, tmp_path, BAR).read_bytes() == CONTENT


def test_a_file_without_any_checksum_is_refused(server: Server, tmp_path):
    wanted = file(server.add("x", CONTENT), sha256=None, bytes=None)
    assert "x: no checksum is published for it and the server states none" in refusal(wanted, tmp_path)
    assert not list(tmp_path.iterdir())


def test_bytes_are_kept_as_they_are_stored_whatever_the_server_calls_their_encoding(server: Server, tmp_path):
    packed = gzip.compress(CONTENT)
    server.encoding = "gzip"  # VGG's servers say so of .tar.gz
    wanted = file(server.add("x", packed), sha256=sha256(packed), bytes=len(packed))
    assert download(wanted, tmp_path, BAR).read_bytes() == packed


def test_a_full_disk_is_an_error_of_the_disk(server: Server, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    (tmp_path / "x.tar.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as error:
        download(file(server.add("x", CONTENT)), tmp_path, BAR)
    assert error.value.errno == errno.ENOSPC
