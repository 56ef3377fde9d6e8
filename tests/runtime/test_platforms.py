"""Other operating systems, simulated.

The functions that they lack are removed, or the system reports their name.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapt.clip.backbone import Backbone
from adapt.pipeline import seeds
from adapt.pipeline.params import load
from adapt.runtime import platforms
from tests.project import ROOT

SIZE = 3 * platforms.BLOCK + 5
AS_WINDOWS = """
import importlib, sys
module = sys.argv.pop(1)
importlib.import_module(module)  # other packages ask for the system too, so they are imported under its true name
for name in [name for name in sys.modules if name.split(".")[0] in ("adapt", "stages")]:
    del sys.modules[name]
sys.platform = "win32"
sys.modules |= {"fcntl": None, "resource": None}
importlib.import_module(module)
"""


@pytest.fixture
def mac(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv(platforms.FORK, raising=False)


@pytest.fixture
def sparse(tmp_path) -> Path:
    """A file that begins with a word and has no other block."""
    path = tmp_path / "sparse"
    path.write_bytes(b"head")
    os.truncate(path, SIZE)
    assert path.stat().st_blocks * 512 < platforms.BLOCK
    return path


@pytest.mark.parametrize("call", ["posix_fallocate", None])
def test_reserved_file_has_all_its_blocks(call, sparse, monkeypatch):
    if call is None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    platforms.reserve_space(sparse)
    assert sparse.stat().st_blocks * 512 >= SIZE


def test_reserving_without_posix_fallocate_changes_no_byte(sparse, monkeypatch):
    before = sparse.read_bytes()
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    platforms.reserve_space(sparse)
    assert sparse.read_bytes() == before


def test_peak_memory_counts_in_bytes_on_macos_and_in_kibibytes_elsewhere(monkeypatch):
    found = {}
    for name in ("linux", "darwin"):
        monkeypatch.setattr(sys, "platform", name)
        found[name] = platforms.peak_memory()
    assert found["linux"] / found["darwin"] == pytest.approx(1024, rel=0.01)


def test_mac_does_not_fork_after_torch(mac):
    assert not platforms.can_fork()


def test_mac_forks_before_torch(mac, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    assert platforms.can_fork()


def test_mac_forks_where_asked_to(mac, monkeypatch):
    monkeypatch.setenv(platforms.FORK, "yes")
    assert platforms.can_fork()


def processes_of_seeds(backbone: Backbone) -> list[int]:
    runtime = load(ROOT / "params.yaml").runtime.model_copy(update={"device": "cpu"})
    assert runtime.parallel_seeds > 1
    return seeds.for_each_seed(lambda *_: os.getpid(), [1, 2], runtime, backbone, classes=2)


def test_seeds_run_in_this_process_on_a_mac(mac, backbone):
    assert processes_of_seeds(backbone) == [os.getpid()] * 2


def test_mac_user_is_told_that_seeds_run_one_after_another(mac, backbone, capsys):
    processes_of_seeds(backbone)
    assert capsys.readouterr().out == (
        "seeds run one after another, since macOS may crash a fork; ADAPT_FORK=yes runs them side by side\n"
    )


def test_seeds_fork_elsewhere(backbone, capsys):
    assert os.getpid() not in processes_of_seeds(backbone) and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "module", ["stages.sample", "stages.compose", "stages.train", "adapt.__main__", "adapt.api.fit"]
)
def test_windows_is_refused_in_a_sentence(module):
    done = subprocess.run([sys.executable, "-c", AS_WINDOWS, module], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: adapt does not run on Windows itself; install WSL2 and run it in there\n"
