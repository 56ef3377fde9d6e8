"""What `make` does before it installs anything, where a checkout is not as it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT


def make(folder: Path, *targets: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`make` as a user calls it, though `make test` may be what runs this."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *targets], cwd=folder, capture_output=True, encoding="utf-8", env={**own, **variables}
    )


@pytest.fixture
def unpacked(tmp_path) -> Path:
    """What a ZIP of the repository holds, as far as `make setup` goes."""
    folder = tmp_path / "adapt"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def test_folder_without_git_is_refused_before_anything_is_installed(unpacked):
    done = make(unpacked, "setup", GIT_CEILING_DIRECTORIES=str(unpacked.parent))
    assert done.returncode and "no git repository" in done.stderr and "git init && git add" in done.stderr
    assert not (unpacked / ".venv").exists()


def test_moved_checkout_has_its_path_written_anew(unpacked):
    """Environment and stamp as `make` leaves them, with a script of a package in it."""
    subprocess.run(["git", "init", "-q"], cwd=unpacked, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=unpacked, check=True)
    stamp = subprocess.run(["git", "hash-object", "requirements.lock"], cwd=unpacked, capture_output=True, check=True)
    (unpacked / ".venv/.installed").write_bytes(stamp.stdout)
    script = unpacked / ".venv/bin/tool"
    script.write_text(f"#!{unpacked}/.venv/bin/python\nprint('at work')\n", encoding="utf-8")
    script.chmod(0o755)
    cfg = unpacked / ".venv/pyvenv.cfg"  # python -m venv .venv, in that folder, notes the full path
    assert f"-m venv --without-pip {unpacked}/.venv" in cfg.read_text(encoding="utf-8")
    cfg.write_text(cfg.read_text(encoding="utf-8").replace("--without-pip ", ""), encoding="utf-8")
    assert make(unpacked, "setup").stdout == ""
    moved = unpacked.rename(unpacked.with_name("elsewhere"))
    done = make(moved, "setup")
    assert done.returncode == 0 and done.stdout == "This checkout has moved: writing its path into .venv\n"
    said = subprocess.run([moved / ".venv/bin/tool"], capture_output=True, encoding="utf-8", check=True).stdout
    assert said == "at work\n"
    assert f'VIRTUAL_ENV="{moved}/.venv"' in (moved / ".venv/bin/activate").read_text(encoding="utf-8")
    assert make(moved, "setup").stdout == "", "once"


def test_user_without_a_home_gets_one_inside(unpacked):
    with (unpacked / "Makefile").open("a", encoding="utf-8") as file:
        file.write('\nwho:\n\t@echo "$$LOGNAME $$HOME"\n')
    subprocess.run(["git", "init", "-q"], cwd=unpacked, check=True)
    name, home = make(unpacked, "who", HOME="/nowhere", LOGNAME="").stdout.split()
    assert name and home == f"{unpacked}/.scratch/home"
