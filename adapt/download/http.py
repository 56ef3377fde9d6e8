"""Resumable downloads that try one mirror after another and verify a checksum."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from adapt.download.sources import File
from adapt.errors import UserError

CHUNK = 1 << 20
TIMEOUT = (15, 60)  # seconds to connect, and between two pieces of a response
TRIES = 5  # attempts per mirror, as long as each adds bytes to the file

Bar = Callable[..., Any]  # makes a tqdm


class Failed(Exception):
    """A mirror did not deliver a file, and why."""


def download(file: File, folder: Path, bar: Bar) -> Path:
    """Download a file into `folder`, unless it is there, and return its path.

    The file gets its name only once its checksum is verified. A broken or interrupted download leaves NAME.partial,
    which the next one resumes.

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
        f"no mirror gave {file.file} ({'; '.join(reasons)}): run again to resume, or put the file at {target} yourself"
    )


def from_mirror(url: str, file: File, target: Path, bar: Bar) -> Path:
    """Download a file from one address, resuming when the connection breaks.

    Raises: Failed.
    """
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
        if not before:  # otherwise the earlier bytes may have been of another file
            break
    raise reason


def receive(url: str, file: File, partial: Path, bar: Bar) -> str | None:
    """Append the missing bytes to `partial`.

    Returns: the SHA-256 that the server states, if any.

    Raises: Failed.
    """
    have = size(partial)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            stated = linked(response)
            if have and response.status_code == 416:  # there are no bytes left to send
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
                for chunk in response.raw.stream(CHUNK, decode_content=False):  # the stored bytes, not decompressed
                    out.write(chunk)
                    meter.update(len(chunk))
                    if file.bytes and out.tell() > file.bytes:
                        raise Failed(f"it sends more than the file's {file.bytes} bytes")
    except requests.Timeout:
        raise Failed("no answer in time") from None
    except requests.ConnectionError:
        raise Failed("no connection") from None
    except (requests.RequestException, HTTPError, ValueError):
        raise Failed(f"the connection broke off after {size(partial)} bytes") from None
    if file.bytes and size(partial) < file.bytes:
        raise Failed(f"it ended after {size(partial)} of {file.bytes} bytes")
    return stated


def linked(response: requests.Response) -> str | None:
    """Return the SHA-256 that Hugging Face states for a file of a revision.

    It is in the response that redirects to the file's bytes.
    """
    for step in (*response.history, response):
        stated = step.headers.get("X-Linked-ETag", "").strip('"')
        if len(stated) == 64:
            return stated
    return None


def size(path: Path) -> int:
    """Return the number of bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.is_file() else 0


def mismatch(path: Path, sha256: str | None, md5: str | None) -> str:
    """Say what is wrong with a file's checksum; return nothing if it matches."""
    for name, expected in (("sha256", sha256), ("md5", md5)):
        if expected:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, name).hexdigest()
            if found != expected:
                kind = "SHA-256" if name == "sha256" else "MD5"
                return f"its {kind} is {found[:12]}…, not {expected[:12]}… ({size(path)} bytes)"
    return ""
