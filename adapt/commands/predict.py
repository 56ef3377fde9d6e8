"""Classify pictures with a tuned model."""

import argparse
import csv
import glob
import io
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

import adapt
from adapt.data import folders
from adapt.errors import UserError
from adapt.pipeline import stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

COLUMNS = ("path", "rank", "class", "probability")
Writer = Callable[[str, list[tuple[str, float]]], None]  # prints an image and its classes, the most likely first


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the arguments."""
    command = commands.add_parser(
        "predict",
        help="classify pictures with a tuned model",
        description=f"""{__doc__} If a picture cannot be read, the others are still classified, and the exit status
            is 1.""",
    )
    command.add_argument("run_folder", metavar="RUN", help="what adapt tune, Model.save or the pipeline has written")
    command.add_argument(
        "images", metavar="IMAGE", nargs="*",
        help="files, folders, patterns such as 'new/*.jpg'; none, or -: paths from standard input, one a line",
    )  # fmt: skip
    command.add_argument("--top", type=int, default=1, metavar="N", help="the N most likely classes (default: 1)")
    command.add_argument(
        "--format", choices=("table", "csv", "jsonl"), help="default: table on a terminal, csv into a file or a program"
    )
    command.add_argument("--batch-size", type=int, default=32, metavar="N", help="images at a time (default: 32)")
    command.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 … (default: a GPU where there is one)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Classify the images, and print the answer for each as soon as it is known."""
    for name in ("top", "batch_size"):
        if (value := getattr(arguments, name)) < 1:
            raise UserError(f"--{name.replace('_', '-')}: expected a whole number from 1 on, got {value}")
    images = given(arguments.images)
    model = adapt.load(arguments.run_folder, device=arguments.device)
    from adapt.api.pictures import read
    from adapt.api.stream import stream

    def crop(path: str) -> "NDArray[np.uint8]":
        return read(path, path, model.clip.image_size)

    total = len(images) if isinstance(images, list) else None
    answers = tqdm(
        stream(model, images, crop, batch_size=arguments.batch_size),
        total=total, unit="image", leave=False, disable=not sys.stderr.isatty(),
    )  # fmt: skip
    write = WRITERS[arguments.format or ("table" if sys.stdout.isatty() else "csv")](images)
    count = broken = 0
    for answer in answers:
        count += 1
        with tqdm.external_write_mode():
            if answer.probabilities is None:
                broken += 1
                print(f"error: {answer.problem}", file=sys.stderr)  # noqa: T201
            else:
                write(answer.image, ranked(answer.probabilities, model.classes, arguments.top))
    if not count:
        raise UserError("IMAGE: there are none: standard input is empty")
    if broken:
        raise UserError(f"{broken} of {count} images could not be read")


def given(names: list[str]) -> list[str] | Iterator[str]:
    """Return the paths of the images.

    Paths on standard input are yielded one by one, as they arrive.
    """
    if names in ([], ["-"]):
        if sys.stdin.isatty():
            raise UserError("IMAGE: give files, folders or patterns, or paths on standard input")
        return (name for line in sys.stdin if (name := line.rstrip("\r\n")))
    return [path for name in names for path in expand(name)]


def expand(name: str) -> list[str]:
    """Return the images that a name refers to: a file, a folder or a pattern.

    Raises:
        UserError: if there are none.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        found = list(folders.walk(path))
        images = [str(file) for file in found if folders.is_image(file)]
        if not images:
            raise UserError(f"IMAGE: there are no images in {path}")
        if others := sorted({str(file) for file in found} - set(images)):
            why = f"skipped in {path}: {len(others)} files that are not images: {folders.some(others)}"
            warnings.warn(why, stacklevel=1)
        return images
    if path.exists() or not glob.has_magic(name):
        return [str(path)]  # if it is missing, the error is printed among the answers for the others
    fitting = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not fitting:
        raise UserError(f"IMAGE: no file matches {name}")
    return [image for file in fitting for image in (expand(file) if Path(file).is_dir() else [file])]


def ranked(probabilities: "Tensor", classes: list[str], top: int) -> list[tuple[str, float]]:
    """Return the most likely classes with their probabilities."""
    values, labels = probabilities.topk(min(top, len(classes)))
    return [(classes[label], value) for label, value in zip(labels.tolist(), values.tolist(), strict=True)]


def table(images: list[str] | Iterator[str]) -> Writer:
    """Return a function that prints an image as a line to be read."""
    width = max(map(len, images), default=0) if isinstance(images, list) else 0

    def write(image: str, classes: list[tuple[str, float]]) -> None:
        stage.log("  ".join([image.ljust(width), *(f"{name} {100 * value:.1f} %" for name, value in classes)]))

    return write


def rows(images: list[str] | Iterator[str]) -> Writer:
    """Print the header of a CSV file, and return a function that prints rows.

    There is a row for each class.
    """

    def say(*cells: object) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(cells)
        stage.log(line.getvalue())

    def write(image: str, classes: list[tuple[str, float]]) -> None:
        for rank, (name, value) in enumerate(classes, 1):
            say(image, rank, name, f"{value:.6g}")

    say(*COLUMNS)
    return write


def objects(images: list[str] | Iterator[str]) -> Writer:
    """Return a function that prints JSON Lines, an object for each image."""

    def write(image: str, classes: list[tuple[str, float]]) -> None:
        found = [{"class": name, "probability": value} for name, value in classes]
        stage.log(json.dumps({"path": image, "classes": found}))

    return write


WRITERS = {"table": table, "csv": rows, "jsonl": objects}
