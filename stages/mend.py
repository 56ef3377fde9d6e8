"""Repair what a killed DVC leaves behind. `make repro` runs this first.

This is not a stage of dvc.yaml. DVC's own locks end with it, and it notices dead processes by itself. But it only
complains about files that it cannot read. It writes dvc.lock and .dvc/tmp/rwlock in place, so either may be truncated;
and another process may have the number of the dead one by now.
"""

import json
import subprocess
from itertools import chain
from pathlib import Path
from shutil import which

import psutil
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import load_yaml

from adapt.pipeline import stage

LOCK = Path("dvc.lock")
BUSY = Path(".dvc/tmp/rwlock")


def main() -> None:
    """Restore a broken dvc.lock from git, and drop locks that no process holds.

    DVC's run cache knows the rest.
    """
    if LOCK.exists() and not whole():
        if which("git") is None or subprocess.run(["git", "checkout", "--quiet", "--", LOCK]).returncode:
            LOCK.unlink()
        now = "restored from git" if LOCK.exists() else "deleted, since git does not have it"
        stage.log(f"mend: {LOCK} was half written by a killed DVC; {now}; finished stages are in DVC's run cache")
    if BUSY.exists() and not held():
        BUSY.unlink()


def whole() -> bool:
    """Return whether DVC would accept its lock file."""
    try:
        COMPILED_LOCKFILE_SCHEMA(load_yaml(str(LOCK)))
    except Exception:  # half a file may raise anything
        return False
    return True


def held() -> bool:
    """Return whether a running DVC is listed in the file of busy paths."""
    try:
        content = json.loads(BUSY.read_text(encoding="utf-8"))
        entries = [*content.get("write", {}).values(), *chain(*content.get("read", {}).values())]
        return any(runs(entry["pid"], entry["cmd"]) for entry in entries)
    except (ValueError, AttributeError, KeyError, TypeError):
        return False


def runs(pid: int, command: str) -> bool:
    """Return whether this process exists and runs this command."""
    try:
        return command in " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


if __name__ == "__main__":
    stage.run(main)
