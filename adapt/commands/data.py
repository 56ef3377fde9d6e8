"""`adapt data list | fetch NAME… | verify NAME…`: the datasets on this machine."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tqdm import tqdm

from adapt.download import status
from adapt.download.fetch import fetch
from adapt.download.verify import verify
from adapt.errors import UserError
from adapt.pipeline import paths, stage

Work = Callable[[str, Path, argparse.Namespace], list[str]]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the arguments.

    The commands check the names themselves, to suggest the nearest one.
    """
    data = commands.add_parser("data", help="list, fetch and verify datasets", description=__doc__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--root", help="where datasets lie; default: $ADAPT_DATA, else ./datasets")
    topics = data.add_subparsers(required=True, metavar="COMMAND")
    put = partial(topics.add_parser, parents=[shared])
    put("list", help="what is here and what is missing; sizes, licences").set_defaults(run=show_status)
    getting = put("fetch", help="download, check and unpack; resumes where it stopped")
    checking = put("verify", help="count images per split, open every one")
    checking.add_argument("--classes", action="store_true", help="also the images of each class per split")
    for command, work in ((getting, get), (checking, show)):
        command.add_argument("names", nargs="+", metavar="NAME")
        command.set_defaults(run=partial(run, work))


def show_status(arguments: argparse.Namespace) -> None:
    """Log which datasets are here and which are missing."""
    for line in status.lines(paths.datasets(arguments.root)):
        stage.log(line)


def run(work: Work, arguments: argparse.Namespace) -> None:
    """Run a command on each of the names.

    Raises:
        UserError: with all problems of all datasets, at the end.
    """
    root = paths.datasets(arguments.root)
    problems = []
    for name in arguments.names:
        try:
            problems += work(name, root, arguments)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))


def get(name: str, root: Path, arguments: argparse.Namespace) -> list[str]:
    """Fetch a dataset."""
    fetch(name, root, say=stage.log, bar=partial(tqdm, unit="B", unit_scale=True, unit_divisor=1024, leave=False))
    return []


def show(name: str, root: Path, arguments: argparse.Namespace) -> list[str]:
    """Verify a dataset, log its counts and return its problems."""
    found = verify(name, root, bar=partial(tqdm, desc=name, unit="image", leave=False))
    counts = ", ".join(f"{part} {here} of {expected}" for part, (here, expected) in found.splits.items())
    stage.log(f"{name}: {counts} images in {len(found.classes)} classes")
    if arguments.classes:
        for label, numbers in found.classes:
            stage.log("  {:6d} {:6d} {:6d}  {}".format(*numbers, label))
    for remark in found.remarks:
        stage.log(f"{name}: {remark}")
    return found.problems
