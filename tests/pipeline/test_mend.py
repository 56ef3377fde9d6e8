"""Files that a killed DVC leaves behind, and their automatic repair."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages import mend

GOOD = "schema: '2.0'\nstages:\n  sample:\n    cmd: python\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A repository whose dvc.lock is committed."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text(GOOD, encoding="utf-8")
    Path(".dvc/tmp").mkdir(parents=True)
    for command in (["init", "-q"], ["add", "dvc.lock"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


@pytest.mark.parametrize("text", ["", GOOD[:30], GOOD[:-10], "\0" * 10, "- a"])
def test_half_a_lock_file_is_replaced_by_that_of_git(text, capfd):
    Path("dvc.lock").write_text(text, encoding="utf-8")
    mend.main()
    assert Path("dvc.lock").read_text(encoding="utf-8") == GOOD
    assert "mend: dvc.lock was half written by a killed DVC" in capfd.readouterr().out


def test_half_a_lock_file_that_git_does_not_know_is_removed():
    subprocess.run(["git", "rm", "-q", "--cached", "dvc.lock"], check=True)
    Path("dvc.lock").write_text("", encoding="utf-8")
    mend.main()
    assert not Path("dvc.lock").exists()


def test_half_a_lock_file_is_removed_where_there_is_no_git(monkeypatch, capfd):
    monkeypatch.setenv("PATH", "")
    Path("dvc.lock").write_text("", encoding="utf-8")
    mend.main()
    assert not Path("dvc.lock").exists()
    assert "; deleted, since git does not have it" in capfd.readouterr().out


def test_whole_lock_file_stays():
    changed = GOOD.replace("python", "python -m stages.sample")
    Path("dvc.lock").write_text(changed, encoding="utf-8")
    mend.main()
    assert Path("dvc.lock").read_text(encoding="utf-8") == changed


def busy(pid: int, command: str) -> str:
    return json.dumps({"write": {"/x": {"pid": pid, "cmd": command}}, "read": {"/y": [{"pid": pid, "cmd": command}]}})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"write": 1}', '{"read": {"a": 1}}'])
def test_half_a_file_of_busy_paths_is_removed(text):
    mend.BUSY.write_text(text, encoding="utf-8")
    mend.main()
    assert not mend.BUSY.exists()


def test_path_of_a_process_whose_number_another_has_is_free():
    mend.BUSY.write_text(busy(os.getpid(), "/usr/bin/dvc repro"), encoding="utf-8")
    mend.main()
    assert not mend.BUSY.exists()


def test_path_of_a_process_that_runs_is_busy():
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # before it runs, the system does not say what it is
        mend.BUSY.write_text(busy(process.pid, " ".join(command[1:])), encoding="utf-8")
        mend.main()
        assert mend.BUSY.exists()
    finally:
        process.kill()
        process.wait()
