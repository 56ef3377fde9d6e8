"""Seeds side by side: on a GPU as many as its memory holds.

Their processes start before CUDA does.
"""

import os
from dataclasses import replace

import pytest
import torch

from adapt.config import RuntimeConfig
from adapt.errors import UserError
from adapt.pipeline import seeds
from adapt.pipeline.params import load
from adapt.pipeline.seeds import Gpu
from adapt.runtime import workers
from tests.project import ROOT

CUDA = torch.device("cuda")


def need(backbone, classes: int) -> float:
    weights = sum(weight.numel() for weight in backbone.model.parameters())
    return seeds.PER_CLASS * classes + seeds.PER_WEIGHT * weights


def gpu(free: float, **facts) -> Gpu:
    return Gpu(int(free), **({"remark": None, "obstacle": None} | facts))


@pytest.mark.parametrize(("room", "fitting"), [(0.5, 1), (2.1, 2), (3.1, 3), (50, 3)])
def test_as_many_seeds_as_the_memory_of_a_gpu_holds(backbone, room, fitting):
    assert seeds.fit(3, gpu(room * need(backbone, 100)), backbone, classes=100)[0] == fitting


def test_fewer_seeds_than_asked_for_are_told(backbone, capsys):
    seeds.fit(3, gpu(2.1 * need(backbone, 1000)), backbone, classes=1000)
    assert capsys.readouterr().out == (
        f"2 of 3 seeds side by side: the GPU has {2.1 * need(backbone, 1000) / 1e9:.1f} GB free, and a seed takes "
        f"about {need(backbone, 1000) / 1e9:.1f} GB\n"
    )


def test_bfloat16_on_an_old_gpu_is_told(backbone, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**12, 10**12))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    seeds.fit(1, seeds.look(replace(backbone, precision="bfloat16"), CUDA), backbone, classes=10)
    assert capsys.readouterr().out == (
        "params.yaml: runtime.precision: this GPU only emulates bfloat16, which takes several times as long as "
        "float32\n"
    )


def test_where_nothing_can_be_compiled_blocks_run_as_they_are(backbone, capsys):
    _, found = seeds.fit(1, gpu(1e12, obstacle="no compiler"), replace(backbone, compile=True), classes=10)
    assert not found.compile
    assert capsys.readouterr().out == (
        "params.yaml: runtime.compile: nothing can be compiled here (no compiler); blocks run uncompiled\n"
    )


def test_a_gpu_that_torch_cannot_use_is_refused(backbone, monkeypatch):
    def fail(device):
        raise RuntimeError("CUDA error: the driver\nis too old")

    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    with pytest.raises(UserError, match=r"runtime.device: torch cannot use the GPU \(CUDA error: the driver is too"):
        seeds.look(backbone, CUDA)


@pytest.fixture
def runtime() -> RuntimeConfig:
    return load(ROOT / "params.yaml").runtime.model_copy(update={"device": "cpu"})


def test_each_seed_gets_the_backbone_on_its_device(backbone, runtime):
    found = seeds.for_each_seed(lambda clip, seed: (clip.device.type, seed), [3, 1], runtime, backbone, classes=5)
    assert found == [("cpu", 3), ("cpu", 1)]


def test_one_seed_runs_in_this_process(backbone, runtime):
    assert seeds.for_each_seed(lambda *_: os.getpid(), [1], runtime, backbone, classes=5) == [os.getpid()]


def test_work_apart_runs_in_another_process():
    assert workers.apart(os.getpid) != os.getpid()
