"""A full disk, a read-only folder, a file that is gone between stages.

Each ends in a sentence, and the next run repairs it. Needs Linux's user namespaces, in which anyone may mount.
`make faults` runs it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.__main__ import results, start
from tests.project import environment

SMALL = ["datasets=[digits]", "methods=[adapt]", "seeds=[1]", "shots=1", "runtime.checkpoint_seconds=0.0"]
ITEM = ["dataset=digits", "method=adapt"]
STAGES = {  # in their order: arguments, where they write, and what they read of others
    "code": ([], "data", None),
    "configure": ([], "data", None),
    "inputs": ([], "data", None),
    "sample": (ITEM[:1], "data/fewshot", None),
    "pack": (ITEM[:1], "data/pack", "data/fewshot/digits/test.csv"),
    "teacher": (ITEM[:1], "data/teacher", "data/fewshot/digits/seed_1.csv"),
    "train": (ITEM, "data/tuned", "data/teacher/digits/seed_1.safetensors"),
    "evaluate": (ITEM, "runs", "data/tuned/digits/adapt/seed_1/prompts.safetensors"),
    "report": ([], "reports", "runs/digits/adapt/seed_1/metrics.json"),
}
FILL = {  # whose inputs lie in the same folder: they fit, and no more
    "report": "cp -r reports ../kept; mount -t tmpfs -o size=200k none reports; "
    "cp -r ../kept/published.yaml ../kept/studies reports; head -c 1M /dev/zero > reports/full || true",
}
NAMESPACE = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(
        not shutil.which("unshare") or subprocess.run([*NAMESPACE, "mount -t tmpfs none /mnt"]).returncode != 0,
        reason="nobody may mount here",
    ),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A checkout in which every stage has run."""
    folder = start(tmp_path_factory.mktemp("disk") / "project", SMALL)
    for stage in STAGES:
        done = call(folder, stage)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))


def call(folder: Path, stage: str, mount: str = "") -> subprocess.CompletedProcess[str]:
    """Run a stage, after a mount."""
    command = [sys.executable, "-m", f"stages.{stage}", *STAGES[stage][0]]
    if mount:
        command = [*NAMESPACE, f'{mount}; cd .; exec "$@"', "sh", *command]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)


def mended(folder: Path, stage: str, expected: Path) -> None:
    done = call(folder, stage)
    assert done.returncode == 0, done.stderr
    assert results(folder) == results(expected)


@pytest.mark.parametrize("stage", STAGES)
def test_full_disk(stage, project, finished):
    done = call(project, stage, FILL.get(stage, f"mount -t tmpfs -o size=4k,nr_inodes=20 none {STAGES[stage][1]}"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        "error: cannot write " in done.stderr
        and ": No space left on device; free space or make it writable" in done.stderr
    )
    mended(project, stage, finished)


def test_full_disk_below_the_checkpoints(project, finished):
    done = call(project, "train", "mount -t tmpfs -o size=16k none .scratch")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert ": No space left on device; free space or make it writable, then run again" in done.stderr
    mended(project, "train", finished)


@pytest.mark.parametrize("stage", STAGES)
def test_read_only_folder(stage, project, finished):
    done = call(project, stage, "mount --bind . . && mount -o bind,remount,ro . && cd $PWD")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        "error: cannot write " in done.stderr
        and ": Read-only file system; free space or make it writable" in done.stderr
    )
    mended(project, stage, finished)


@pytest.mark.parametrize("stage", [stage for stage, (_, _, read) in STAGES.items() if read])
def test_file_gone_between_stages(stage, project):
    read = STAGES[stage][2]
    assert read
    (project / read).unlink()
    done = call(project, stage)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"error: {read} is missing; make it with `dvc repro" in done.stderr


@pytest.mark.parametrize("stage", [stage for stage, (_, _, read) in STAGES.items() if read])
def test_file_cut_off_between_stages(stage, project):
    read = STAGES[stage][2]
    assert read
    content = (project / read).read_bytes()
    (project / read).write_bytes(content[: len(content) // 2])
    done = call(project, stage)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"error: {read} is not " in done.stderr and "make it again with `dvc repro" in done.stderr
