"""The documents' console blocks: cheap ones run in a fresh checkout, as shown.

An HTML comment above a block says which other test runs it, or why no test does.
"""

import re
from pathlib import Path

import pytest

from tests import console
from tests.project import ROOT, checkout

DOCUMENTS = ["CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
BLOCKS = [block for document in DOCUMENTS for block in console.blocks(document)]
CHEAP = [block for block in BLOCKS if not block.note]


@pytest.fixture
def folder(tmp_path) -> Path:
    return checkout(tmp_path / "adapt")


@pytest.mark.parametrize("block", CHEAP, ids=[block.name for block in CHEAP])
def test_commands_print_what_the_block_shows(block: console.Block, folder):
    for command in block.commands:
        assert console.run(command.line, folder, folder) == command.output, command.line


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_console_block_has_commands(document: str):
    opened = (ROOT / document).read_text(encoding="utf-8").count("```console\n")
    found = console.blocks(document)
    assert len(found) == opened and all(block.commands for block in found)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.note], ids=lambda block: block.name)
def test_block_that_is_not_run_here_names_a_test_or_a_reason(block: console.Block):
    elsewhere = re.fullmatch(r"run by (tests/\S+\.py)", block.note)
    if elsewhere:
        assert Path(block.document).name in (ROOT / elsewhere[1]).read_text(encoding="utf-8")
    else:
        assert block.note.startswith("not run: ")
