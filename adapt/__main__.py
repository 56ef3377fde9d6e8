"""Tune CLIP on a few images per class, and use the tuned model.

The commands classify pictures with it, export it, and open a page in the browser to try it.
"""

import argparse
import sys
import warnings

import shtab

import adapt
from adapt.commands import data, demo, export, predict, tune
from adapt.pipeline import stage

COMMANDS = (tune, predict, export, demo, data)


def parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(prog=prog, description=__doc__)
    whole.add_argument("--version", action="version", version=f"adapt {adapt.__version__}")
    shtab.add_argument_to(whole, "--print-completion", help="print a completion script of `adapt` for this shell")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return whole


def warn(message: Warning | str, *rest: object) -> None:
    """Print a warning to users of the commands: one sentence, no line of code."""
    print(f"warning: {message}", file=sys.stderr)  # noqa: T201


def cli(prog: str = "adapt") -> None:
    """Parse the arguments and run the command; the entry point of the script `adapt`."""
    arguments = parser(prog).parse_args()
    warnings.showwarning = warn
    stage.exit_on_error(lambda: arguments.run(arguments))


if __name__ == "__main__":
    cli("python -m adapt")
