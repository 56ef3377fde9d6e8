"""The command line: `adapt data list | fetch NAME… | verify NAME…`, or `python -m adapt data …`."""

import argparse
from functools import partial
from pathlib import Path

from tqdm import tqdm

from adapt.download import status
from adapt.download.fetch import fetch
from adapt.download.verify import verify
from adapt.errors import UserError
from adapt.pipeline import paths, stage


def parser(prog: str) -> argparse.ArgumentParser:
    """The arguments; the names are checked by the commands, which say the nearest."""
    whole = argparse.ArgumentParser(prog=prog, description=__doc__)
    topics = whole.add_subparsers(dest="topic", required=True, metavar="data")
    data = topics.add_parser("data", help="the datasets on this machine")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--root", help="where datasets lie; default: $ADAPT_DATA, else ./datasets")
    commands = data.add_subparsers(dest="command", required=True)
    add = partial(commands.add_parser, parents=[shared])
    add("list", help="what is here and what is missing; sizes, licences")
    getting = add("fetch", help="download, check and unpack; goes on where it stopped")
    getting.add_argument("names", nargs="+", metavar="NAME")
    checking = add("verify", help="count images per split, open every one")
    checking.add_argument("names", nargs="+", metavar="NAME")
    checking.add_argument("--classes", action="store_true", help="also the images of each class per split")
    return whole


def main(arguments: argparse.Namespace) -> None:
    """Run a command on all the names given; raises UserError with all that went wrong."""
    root = paths.datasets(arguments.root)
    problems = []
    if arguments.command == "list":
        for line in status.lines(root):
            stage.log(line)
        return
    work = partial(show, classes=arguments.classes) if arguments.command == "verify" else get
    for name in arguments.names:
        try:
            problems += work(name, root)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))


def get(name: str, root: Path) -> list[str]:
    """Fetch a dataset."""
    fetch(name, root, say=stage.log, bar=partial(tqdm, unit="B", unit_scale=True, unit_divisor=1024, leave=False))
    return []


def show(name: str, root: Path, classes: bool) -> list[str]:
    """Verify a dataset, say its counts; what is wrong with it."""
    found = verify(name, root, bar=partial(tqdm, desc=name, unit="image", leave=False))
    counts = ", ".join(f"{part} {here} of {expected}" for part, (here, expected) in found.splits.items())
    stage.log(f"{name}: {counts} images in {len(found.classes)} classes")
    if classes:
        for label, numbers in found.classes:
            stage.log("  {:6d} {:6d} {:6d}  {}".format(*numbers, label))
    for remark in found.remarks:
        stage.log(f"{name}: {remark}")
    return found.problems


def cli(prog: str = "adapt") -> None:
    """Parse the arguments and run; what the script `adapt` calls."""
    stage.exit_on_error(partial(main, parser(prog).parse_args()))


if __name__ == "__main__":
    cli("python -m adapt")
