"""Live plots of training: live/<dataset>-<method>/seed_<s>/, written by DVCLive.

`dvc plots` and editors read them while `train` runs. dvc.yaml names the folder live/ only under `plots`, so it is
neither a dependency nor an output, and git ignores its content. It holds the items that are being trained and the one
trained last.
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
SHOWN = ("loss", "tokens", "accuracy")  # one plot each


def folder(dataset: str, method: str, seed: int) -> Path:
    """Return the folder of a seed's files."""
    return ROOT / f"{dataset}-{method}" / f"seed_{seed}"


def clear(dataset: str, method: str) -> None:
    """Remove this item's old files, and those of items that are not being trained."""
    for path in [path for path in ROOT.glob("*") if path.is_dir()]:
        if path.name == f"{dataset}-{method}":
            shutil.rmtree(path, ignore_errors=True)
        elif lock := locks.acquire(place := stage.lock(f"train@{path.name}")):
            shutil.rmtree(path, ignore_errors=True)
            locks.release(place, lock)


def measure(runtime: RuntimeConfig, val: FewShotLoader) -> Measure | None:
    """Return the measurement after each epoch, if the runtime asks for it.

    It is the accuracy on the few-shot val images.
    """
    if not runtime.live_accuracy or not val.images:
        return None
    return lambda method: {"accuracy": accuracy_under_way(method, val)}


def reporter(runtime: RuntimeConfig, bar: Bar, place: Path) -> Callable[[Row], None]:
    """Return the function that reports each epoch of `fit`.

    It writes to the progress bar's line and, if the runtime asks for it, to the folder.
    """
    write = writer(place) if runtime.live else None

    def report(row: Row) -> None:
        bar.tell(in_words(row))
        if write:
            write(row)

    return report


def writer(place: Path) -> Callable[[Row], None]:
    """Return the function that writes each epoch's row.

    A run that starts or resumes reports all its epochs, so the files then have all of them. A write error is logged
    once and does not stop the training.
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
    """Open DVCLive on an empty folder that no other process writes to.

    Its `next_step` is not called: besides logging the metrics, it would start a thread for DVC Studio, read all files
    again and write a metrics.json, which DVC takes for a plot.
    """
    from dvclive.live import Live  # takes most of a second, unless the stage has started warm

    class Files(Live):
        def _init_dvc(self) -> None:
            """Skip the repository: there is nothing to commit, name or send."""

    os.environ["DVC_STUDIO_OFFLINE"] = "true"  # otherwise it reports the start to DVC Studio if a token is configured
    shutil.rmtree(place, ignore_errors=True)
    return Files(str(place), save_dvc_exp=False, dvcyaml=None)
