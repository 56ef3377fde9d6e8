"""The command line as a whole: its help, its version, completion, warnings."""

import subprocess
import sys

import pytest

import adapt
from adapt.__main__ import COMMANDS, parser
from tests.project import ROOT

NAMES = [module.__name__.rpartition(".")[2] for module in COMMANDS]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "adapt", *arguments], cwd=ROOT, text=True, capture_output=True)


@pytest.mark.parametrize("command", ["", *NAMES])
def test_help_fits_80_columns(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        parser("adapt").parse_args([*command.split(), "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("command", NAMES)
def test_help_names_every_command(command, capsys):
    with pytest.raises(SystemExit):
        parser("adapt").parse_args(["--help"])
    assert f"\n    {command} " in capsys.readouterr().out


def test_version_is_the_packages():
    assert run("--version").stdout == f"adapt {adapt.__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_given_completion(shell):
    assert all(command in run("--print-completion", shell).stdout for command in NAMES)


def test_warning_is_a_sentence(tmp_path):
    (tmp_path / "image.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    said = run("predict", str(tmp_path), str(tmp_path)).stderr.splitlines()[0]
    assert said == f"warning: skipped in {tmp_path}: 1 files that are not images: {tmp_path / 'notes.txt'}"
