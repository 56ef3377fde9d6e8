"""What `train` tells while it runs: live/<dataset>-<method>/seed_<s>/, written by DVCLive for `dvc plots` and editors.

dvc.yaml names the folder live/ under `plots` alone, so it is no dependency and no output, and git sees nothing of it.
It holds the items under way and the one that was trained last.
"""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from adapt.config import RuntimeConfig
from adapt.data.loader import FewShotLoader
from adapt.pipeline import stage
from adapt.runtime import locks
from adapt.runtime.progress import Bar
from adapt.training.predict import accuracy_under_way
from adapt.training.trainer import Measure, Row, in_words

if TYPE_CHECKING:
    from dvclive.live import Live

ROOT = Path("live")
SHOWN = ("loss", "tokens", "accuracy")  # a plot each


def folder(dataset: str, method: str, seed: int) -> Path:
    """Where a seed's files are."""
    return ROOT / f"{dataset}-{method}" / f"seed_{seed}"


def clear(dataset: str, method: str) -> None:
    """Remove what this item has left, and all others that nobody is training now."""
    for path in [path for path in ROOT.glob("*") if path.is_dir()]:
        if path.name == f"{dataset}-{method}":
            shutil.rmtree(path, ignore_errors=True)
        elif lock := locks.acquire(place := stage.lock(f"train@{path.name}")):
            shutil.rmtree(path, ignore_errors=True)
            locks.release(place, lock)


def measure(runtime: RuntimeConfig, val: FewShotLoader) -> Measure | None:
    """What is measured after each epoch: the accuracy on the few-shot val images, where that is asked for."""
    if not runtime.live_accuracy or not val.images:
        return None
    return lambda method: {"accuracy": accuracy_under_way(method, val)}


def reporter(runtime: RuntimeConfig, bar: Bar, place: Path) -> Callable[[Row], None]:
    """What `fit` tells of each epoch: the bar's line, and the folder where that is asked for."""
    write = writer(place) if runtime.live else None

    def report(row: Row) -> None:
        bar.tell(in_words(row))
        if write:
            write(row)

    return report


def writer(place: Path) -> Callable[[Row], None]:
    """What writes each epoch's row. A run that is resumed or starts anew tells of all epochs: then so do the files.

    What cannot be written is left out, and said once: no training ends for it.
    """
    if find_spec("dvclive") is None:
        stage.log(f"nothing is written to {ROOT}/, since DVCLive is not installed; `make setup` installs it")
        return lambda row: None
    live: Live | None = None

    def write(row: Row) -> None:
        nonlocal live
        try:
            if row["epoch"] == 0:
                live = start(place)
            if live is not None:
                live.step = int(row["epoch"])
                for name in SHOWN:
                    if name in row:
                        live.log_metric(name, row[name])
        except OSError as error:
            stage.log(f"nothing more is written to {place}: {error.strerror}")
            live = None

    return write


def start(place: Path) -> "Live":
    """DVCLive in an empty folder, which it alone writes to.

    Its `next_step` is not called: besides the metrics, it would start a thread for DVC Studio, read all files anew and
    write a metrics.json, which DVC takes for a plot.
    """
    from dvclive.live import Live  # takes most of a second, unless the stage has started warm

    class Files(Live):
        def _init_dvc(self) -> None:
            """Look for no repository: there is nothing to commit, to name or to send."""

    os.environ["DVC_STUDIO_OFFLINE"] = "true"  # else it tells DVC Studio of the start, where a token is configured
    shutil.rmtree(place, ignore_errors=True)
    return Files(str(place), save_dvc_exp=False, dvcyaml=None)
