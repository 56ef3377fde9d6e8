"""Fingerprints of what lies outside the repository and decides numbers: data/inputs/, on which the stages depend.

DVC compares what a stage depends on by content, but only at paths that dvc.yaml names; where weights and datasets lie,
params say. So the stage `inputs` looks at every `dvc repro`, and what depends on it runs again where something differs.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from adapt.clip import model_configs
from adapt.data import catalog
from adapt.pipeline import paths
from adapt.runtime import formats

ROOT = Path("data/inputs")
SETTLED = 2.0  # seconds after which a file's times tell whether it has changed since


def file(dataset: str) -> Path:
    """Where the fingerprint of a dataset is: unfinished work on other images is not gone on with."""
    return ROOT / "datasets" / f"{dataset}.json"


class HashCache:
    """The hashes of files that have been read, which are not read again unless their size or times differ."""

    def __init__(self) -> None:
        self.path = Path(os.environ.get("DVC_ROOT", ".")) / ".dvc/tmp/inputs.json"  # beside DVC's own of this kind
        try:
            self.known: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it only saves time
            self.known = {}
        self.seen: dict[str, Any] = {}

    def sha256(self, path: Path) -> str:
        """The hash of a file; "missing" where there is none, which whoever reads it will say better."""
        try:
            found = path.stat()
            key, state = os.path.realpath(path), [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
            old = self.known.get(key)
            if old and old[:-1] == state:
                self.seen[key] = old
                return old[-1]
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return "missing"
        if time.time() - found.st_ctime > SETTLED:
            self.seen[key] = [*state, digest]
        return digest

    def save(self) -> None:
        """Keep what was seen this time, where that is possible."""
        if self.seen != self.known:
            with suppress(OSError):
                formats.write_json(self.path, self.seen)


def of_backbone(name: str, pretrained: str, memory: HashCache) -> dict[str, str]:
    """An architecture and its weights: a file by its hash, an open_clip tag by its name."""
    file = Path(paths.weights(pretrained))
    weights = memory.sha256(file) if file.is_file() else f"tag {pretrained}"
    return {"architecture": memory.sha256(model_configs.config_paths()[name]), "weights": weights}


def of_dataset(name: str, root: Path, memory: HashCache) -> dict[str, Any]:
    """A dataset: the files that decide which images it has and, of one's own and the pocket's, the images too."""
    return of_files(catalog.files(name, root), memory)


def of_listing(name: str, root: Path) -> dict[str, Any]:
    """All that lies in the folder of one's own dataset, by name: `sample` says what is not in the dataset."""
    names = catalog.listing(name, root)
    return {"files": len(names), "sha256": formats.fingerprint(names)}


def of_files(files: Iterable[tuple[str, Path]], memory: HashCache) -> dict[str, Any]:
    """How many files there are, and one hash over their names and hashes."""
    hashes = [(label, memory.sha256(path)) for label, path in sorted(files)]
    return {"files": len(hashes), "sha256": formats.fingerprint(hashes)}
