"""Ctrl-C, and going on from a checkpoint."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import adapt
from adapt.runtime import signals
from adapt.training.trainer import Trainer
from tests.api.conftest import QUICK

pytestmark = pytest.mark.usefixtures("listening")

PROGRAM = """
import sys; sys.path.insert(0, {root!r})
import adapt
clip = adapt.load_clip("pocket")
data = adapt.load_dataset("digits").few_shot(shots=2, seed=1)
print("ready", flush=True)
try:
    adapt.fit("adapt", clip, data, checkpoint="state", optimizer={{"epochs": 100000}})
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_ctrl_c_is_a_keyboard_interrupt_and_keeps_the_state(tmp_path):
    program = PROGRAM.format(root=str(Path(adapt.__file__).parents[1]))
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout and running.stdout.readline() == "ready\n"
        assert running.stderr and running.stderr.read(1)  # the bar is there: it trains
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == "stopped\n"
    assert [path.suffix for path in tmp_path.glob("state-*.pt")] == [".pt"]


@pytest.fixture
def steps(monkeypatch) -> list[int]:
    """The steps done so far; Ctrl-C is sent after the second."""
    step, done = Trainer.step, []

    def stopped(self, *given):
        step(self, *given)
        done.append(1)
        if len(done) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "step", stopped)
    return done


def test_fit_goes_on_from_its_checkpoint_to_the_same_tensors(clip, data, model, tmp_path, steps):
    with pytest.raises(KeyboardInterrupt):
        adapt.fit("adapt", clip, data, checkpoint=tmp_path / "state", progress=False, **QUICK)
    assert len(steps) == 2 and list(tmp_path.glob("state-*.pt"))
    found = adapt.fit("adapt", clip, data, checkpoint=tmp_path / "state", progress=False, **QUICK)
    assert len(steps) == model.log.steps, "no step was done twice"
    assert all(torch.equal(value, found.result.tensors[name]) for name, value in model.result.tensors.items())
    assert not list(tmp_path.iterdir())


def test_handlers_of_the_caller_come_back():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with pytest.raises(KeyboardInterrupt), signals.installed(), signals.deferred():
            signal.raise_signal(signal.SIGTERM)
        assert seen == [signal.SIGTERM] and not signals.stop_requested()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_fit_works_in_another_thread(clip, data):
    found = []
    thread = threading.Thread(target=lambda: found.append(adapt.fit("zero_shot", clip, data, progress=False)))
    thread.start()
    thread.join()
    assert found[0].name == "zero_shot"


def test_stopped_fit_goes_on_while_its_error_is_still_held(clip, data, tmp_path, steps):
    """A notebook holds the last error, and with it everything that the call had open."""
    with pytest.raises(KeyboardInterrupt) as held:
        adapt.fit("adapt", clip, data, checkpoint=tmp_path / "state", progress=False, **QUICK)
    fitted = adapt.fit("adapt", clip, data, checkpoint=tmp_path / "state", progress=False, **QUICK)
    assert len(steps) == fitted.log.steps and held and not list(tmp_path.iterdir())
