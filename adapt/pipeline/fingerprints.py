"""Fingerprints of inputs outside the repository that affect results: data/inputs/.

DVC compares dependencies by content, but only at paths that dvc.yaml names; the paths of weights and datasets are in
the params. So the stage `inputs` fingerprints them at every `dvc repro`, and the stages that depend on them run again
if something differs.
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
SETTLED = 2.0  # seconds after a change from which a file's times show any later change


def file(dataset: str) -> Path:
    """Return the path of a dataset's fingerprint.

    Checkpoints depend on it: unfinished work on other images is not resumed.
    """
    return ROOT / "datasets" / f"{dataset}.json"


class HashCache:
    """A cache of file hashes.

    A file is read again only if its size, its times or its inode differ.
    """

    def __init__(self) -> None:
        self.path = Path(os.environ.get("DVC_ROOT", ".")) / ".dvc/tmp/inputs.json"  # beside DVC's own cache of hashes
        try:
            self.known: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # the cache only saves time
            self.known = {}
        self.seen: dict[str, Any] = {}

    def sha256(self, path: Path) -> str:
        """Return the hash of a file, or "missing" if there is none.

        The code that reads the file will report it better.
        """
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
        """Save the hashes used this time, if possible."""
        if self.seen != self.known:
            with suppress(OSError):
                formats.write_json(self.path, self.seen)


def of_backbone(name: str, pretrained: str, memory: HashCache) -> dict[str, str]:
    """Fingerprint an architecture and its weights.

    A file is identified by its hash, an open_clip tag by its name.
    """
    file = Path(paths.weights(pretrained))
    weights = memory.sha256(file) if file.is_file() else f"tag {pretrained}"
    return {"architecture": memory.sha256(model_configs.config_paths()[name]), "weights": weights}


def of_dataset(name: str, root: Path, memory: HashCache) -> dict[str, Any]:
    """Fingerprint a dataset.

    This covers the files that decide which images it has and, for your own and the pocket datasets, the files with the
    images.
    """
    return of_files(catalog.files(name, root), memory)


def of_listing(name: str, root: Path) -> dict[str, Any]:
    """Fingerprint the names of all files in your own dataset's folder.

    `sample` depends on it, since it reports files that are not in the dataset.
    """
    names = catalog.listing(name, root)
    return {"files": len(names), "sha256": formats.fingerprint(names)}


def of_files(files: Iterable[tuple[str, Path]], memory: HashCache) -> dict[str, Any]:
    """Return the number of files, and one hash over their names and hashes."""
    hashes = [(label, memory.sha256(path)) for label, path in sorted(files)]
    return {"files": len(hashes), "sha256": formats.fingerprint(hashes)}
