"""Console blocks of documents: commands after `$`, each followed by its output."""

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.project import ROOT, environment

FENCE = re.compile(r"(?:^<!-- ([^\n]+) -->\n)?^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ ([^\n]+)\n((?:(?!\$ )[^\n]*\n)*)", re.MULTILINE)
VARIES = re.compile(r"time: \d+ s|by [\d.]+e-\d+ at most")  # with the machine


class Command(NamedTuple):
    """A command and the output that the document shows."""

    line: str
    output: str


class Block(NamedTuple):
    """A console block; `note` is the HTML comment above it, empty if there is none."""

    document: str
    note: str
    commands: list[Command]

    @property
    def name(self) -> str:
        """The document and the first command, as the id of a test."""
        return f"{self.document}: {self.commands[0].line}"


def blocks(document: str) -> list[Block]:
    """Return the console blocks of a document, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [
        Block(document, note, [Command(*found) for found in COMMAND.findall(body)])
        for note, body in FENCE.findall(text)
    ]


def run(line: str, folder: Path, library: Path = ROOT) -> str:
    """Run a command by bash in a folder; return its standard output.

    `library` is the checkout whose `adapt` it imports.
    """
    variables = {**environment(), "PYTHONPATH": str(library), "PAGER": "cat", "COLUMNS": "100"}
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}{os.linesep}{done.stderr}"
    return done.stdout


def comparable(output: str) -> str:
    """Return an output without the parts that vary with the machine."""
    return VARIES.sub("…", output)
