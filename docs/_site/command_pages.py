"""The page of the command line, out of the parser of `adapt`."""

import argparse
import re
from collections.abc import Iterator

from adapt.__main__ import parser
from docs._site.tables import code, table, text

WIDTH = 88
INTRO = """# Command line

`adapt` and `python -m adapt` are the same command. This page is generated from its parser; `adapt COMMAND --help`
prints the same. [Your own images](own_images.md) shows the commands at work, [Datasets](data.md) those of `adapt data`.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([INTRO, *(part for command in commands() for part in describe(command))])


def commands(whole: argparse.ArgumentParser | None = None) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of `adapt`, and after each parser those of its commands."""
    whole = whole or parser("adapt")
    yield whole
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from commands(command)


def describe(command: argparse.ArgumentParser) -> Iterator[str]:
    """Yield what the page says of a command: heading, description, usage, arguments."""
    level = min(command.prog.count(" ") + 2, 4)
    yield f"{'#' * level} {command.prog}\n"
    if command.description:
        yield f"{text(' '.join(command.description.split()))}\n"
    yield f"```text\n{usage(command)}\n```\n"
    chosen = [action for action in command._actions if not isinstance(action, argparse._SubParsersAction)]
    yield table(
        ("argument", "what it is"), [(names(action, command), text(told(action, command))) for action in chosen]
    )


def usage(command: argparse.ArgumentParser) -> str:
    """Return the line of usage, at one width wherever the page is built."""
    formatter = argparse.HelpFormatter(command.prog, width=WIDTH)
    formatter.add_usage(command.usage, command._actions, command._mutually_exclusive_groups)
    return re.sub(r"\x1b\[[\d;]*m", "", formatter.format_help()).strip()  # Python 3.14 colours it on a terminal


def names(action: argparse.Action, command: argparse.ArgumentParser) -> str:
    """Return an argument as one writes it."""
    formatter = argparse.HelpFormatter(command.prog)
    if not action.option_strings:
        return code(formatter._format_args(action, str(action.metavar or action.dest)))
    shown = "" if action.nargs == 0 else f" {formatter._format_args(action, action.dest.upper())}"
    return ", ".join(code(f"{name}{shown}") for name in action.option_strings)


def told(action: argparse.Action, command: argparse.ArgumentParser) -> str:
    """Return the help of an argument."""
    return argparse.HelpFormatter(command.prog)._expand_help(action) if action.help else ""
