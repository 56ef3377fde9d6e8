"""docs/own_images.md: its commands print on its pictures what the page shows."""

import re
import subprocess
import sys

import pytest

from tests.project import ROOT, environment

PAGE = (ROOT / "docs/own_images.md").read_text(encoding="utf-8")
PROGRAM = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
SHOWN = dict(re.findall(r"^    adapt ([^\n]+)\n\n```\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))
VARIES = re.compile(r"time: \d+ s|by [\d.]+e-\d+ at most")  # with the machine


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> dict[str, str]:
    """The output of the page's commands, run one after the other on its pictures."""
    folder = tmp_path_factory.mktemp("page")

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=True).stdout

    run("-c", PROGRAM)
    return {command: run("-m", "adapt", *command.split()) for command in SHOWN}


def test_page_shows_three_commands():
    assert [command.split()[0] for command in SHOWN] == ["tune", "predict", "export"]


@pytest.mark.parametrize("command", SHOWN)
def test_command_prints_what_the_page_shows(command, printed):
    told, shown = (VARIES.sub("…", text) for text in (printed[command], SHOWN[command]))
    assert told == shown
