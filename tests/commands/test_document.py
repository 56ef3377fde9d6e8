"""Commands in documents print the output that is shown, on the example's pictures."""

import re
from pathlib import Path

import pytest

from tests import console
from tests.project import ROOT

HERE = "run by tests/commands/test_document.py"
BLOCKS = [
    block
    for page in ("own_images.md", "export.md", "data.md")  # in this order: each uses files of those before it
    for block in console.blocks(f"docs/{page}")
    if block.note == HERE
]
COMMANDS = [command for block in BLOCKS for command in block.commands]


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with the pictures of docs/own_images.md."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "pictures.py").write_text(python_blocks("own_images.md")[0], encoding="utf-8")
    console.run("python pictures.py", folder)
    return folder


@pytest.fixture(scope="module")
def printed(folder) -> dict[str, str]:
    """Run the commands in order; return the output of each."""
    return {command.line: console.run(command.line, folder) for command in COMMANDS}


def test_pages_show_these_commands():
    words = [command.line.split() for command in COMMANDS]
    assert [line[1] for line in words if line[0] == "adapt"] == ["tune", "predict", "export", "export", "export"]
    assert any(line[:5] == ["python", "-m", "adapt", "data", "verify"] for line in words)


@pytest.mark.parametrize("command", COMMANDS, ids=[command.line for command in COMMANDS])
def test_command_prints_what_the_page_shows(command: console.Command, printed):
    assert console.comparable(printed[command.line]) == console.comparable(command.output)


def test_program_of_the_page_on_export_prints_what_it_shows(folder, printed):
    page = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    shown = page.partition("In a process without torch")[2].split("```")[1].removeprefix("\n")
    (folder / "program.py").write_text(python_blocks("export.md")[0], encoding="utf-8")
    assert console.run("python program.py", folder) == shown
