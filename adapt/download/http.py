"""Downloads that go on where they stopped, try one mirror after the other, and end with a checksum."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from adapt.download.sources import File
from adapt.errors import UserError

CHUNK = 1 << 20
TIMEOUT = (15, 60)  # seconds for a connection, and between two pieces of an answer
TRIES = 5  # of one mirror, as long as each brings the file further

Bar = Callable[..., Any]  # makes a tqdm


class Failed(Exception):
    """Why a mirror did not give a file."""


def download(file: File, folder: Path, bar: Bar) -> Path:
    """The file in `folder`, downloaded unless it is there: its name appears only once its checksum holds.

    What a broken or interrupted download has left, NAME.partial, is gone on with.

    Raises: UserError that says what went wrong at each mirror.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / file.file
    if target.is_file():
        problem = mismatch(target, file.sha256, file.md5)
        if problem:
            raise UserError(f"{target} is not the published file: {problem}; delete it and run again")
        return target
    reasons = []
    for url in file.urls:
        try:
            return from_mirror(url, file, target, bar)
        except Failed as failed:
            reasons.append(f"{url}: {failed}")
    raise UserError(
        f"no mirror gave {file.file} ({'; '.join(reasons)}): run again to go on where it stopped, or put the file at "
        f"{target} yourself"
    )


def from_mirror(url: str, file: File, target: Path, bar: Bar) -> Path:
    """The file from one address, in as many pieces as the line breaks it into; raises `Failed`."""
    partial = target.with_name(f"{target.name}.partial")
    reason = Failed("")
    for _ in range(TRIES):
        before = size(partial)
        try:
            stated = receive(url, file, partial, bar)
        except Failed as failed:
            reason = failed
            if size(partial) <= before:
                break
            continue
        problem = mismatch(partial, file.sha256 or (None if file.md5 else stated), file.md5)
        if not problem:
            return partial.rename(target)
        partial.unlink()
        reason = Failed(problem)
        if not before:  # else what was there before may have been another file's beginning
            break
    raise reason


def receive(url: str, file: File, partial: Path, bar: Bar) -> str | None:
    """Append to `partial` what it lacks; the SHA-256 that the server states. Raises `Failed`."""
    have = size(partial)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            stated = linked(response)
            if have and response.status_code == 416:  # nothing is left to send
                return stated
            if not response.ok:
                raise Failed(f"HTTP {response.status_code}")
            if not (file.sha256 or file.md5 or stated):
                raise Failed("no checksum is published for it and the server states none")
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                have = 0  # the server does not resume
            total = int(response.headers["Content-Length"]) + have if "Content-Length" in response.headers else None
            with (
                partial.open("ab" if have else "wb") as out,
                bar(desc=file.file, initial=have, total=total) as meter,
            ):
                for chunk in response.raw.stream(CHUNK, decode_content=False):  # the bytes as they are stored there
                    out.write(chunk)
                    meter.update(len(chunk))
                    if file.bytes and out.tell() > file.bytes:
                        raise Failed(f"it sends more than the file's {file.bytes} bytes")
    except requests.Timeout:
        raise Failed("no answer in time") from None
    except requests.ConnectionError:
        raise Failed("no connection") from None
    except (requests.RequestException, HTTPError, ValueError):
        raise Failed(f"the connection broke off at {size(partial)} bytes") from None
    if file.bytes and size(partial) < file.bytes:
        raise Failed(f"it ended at {size(partial)} of {file.bytes} bytes")
    return stated


def linked(response: requests.Response) -> str | None:
    """The SHA-256 that Hugging Face states for a file of a revision, in the answer that redirects to its bytes."""
    for step in (*response.history, response):
        stated = step.headers.get("X-Linked-ETag", "").strip('"')
        if len(stated) == 64:
            return stated
    return None


def size(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def mismatch(path: Path, sha256: str | None, md5: str | None) -> str:
    """What is wrong with a file's checksum; nothing where it holds."""
    for name, expected in (("sha256", sha256), ("md5", md5)):
        if expected:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, name).hexdigest()
            if found != expected:
                kind = "SHA-256" if name == "sha256" else "MD5"
                return f"its {kind} is {found[:12]}…, not {expected[:12]}… ({size(path)} bytes)"
    return ""
