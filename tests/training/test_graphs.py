"""Recorded steps: replaying on a GPU equals running the steps eagerly.

No GPU is needed: the recorder here tapes the operations of a step and repeats them on the same tensors. As on a GPU,
optimizers are fused.
"""

import gc
import weakref
from dataclasses import replace
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from adapt.training import graphs, optimizers, trainer
from tests.methods.test_methods import EPOCHS, TUNED, build, tune

ALIKE = [name for name in TUNED if name not in ("clip_lora", "random_prune")]  # these two draw in every step


class Tape(TorchDispatchMode):
    """Records the operations within it, to repeat them as a CUDA graph would.

    They are repeated on the same tensors, with the Python numbers of the recording, and write into the same results.
    """

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.operations.append((func, args, kwargs or {}, found))
        return found

    @torch.no_grad()
    def replay(self) -> None:
        """Repeat it."""
        for func, args, kwargs, found in self.operations:
            for old, new in zip(tree_leaves(found), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old is not new:
                    old.copy_(new)


class Recorder:
    """As `CudaRecorder`; `spoil` is done after each replay."""

    step: graphs.GraphedStep

    def __init__(self, spoil=lambda: None):
        self.spoil, self.recorded, self.replayed = spoil, 0, 0

    def run(self, work):
        return work()

    def record(self, work):
        self.recorded += 1
        before = [tensor.clone() for tensor in self.step.state()]
        seeding = mock.patch.object(torch, "manual_seed", side_effect=RuntimeError("no seed may be set in a recording"))
        with seeding, Tape() as tape:
            found = work()
        self.step.restore(before)  # work is recorded, not done
        recorder = self

        class Replay:
            def replay(self) -> None:
                tape.replay()
                recorder.replayed += 1
                recorder.spoil()

        return Replay(), found


@pytest.fixture
def recorder(monkeypatch):
    """A function that makes a recorder which knows the step that it records."""
    monkeypatch.setattr(optimizers, "is_fused", lambda device: True)

    def make(cls=Recorder, **options):
        made = cls(**options)

        class Known(graphs.GraphedStep):
            def __init__(self, *arguments):
                super().__init__(*arguments)
                made.step = self

        monkeypatch.setattr(trainer, "GraphedStep", Known)
        return made

    return make


def same(name, task, batches, changes=None, **options) -> bool:
    """Return whether a run with these options equals one without, its log included.

    `changes` are settings of both runs.
    """
    plain, record = tune(name, task, batches, build(name, task, **(changes or {})))
    other, found = tune(name, task, batches, build(name, task, **(changes or {})), **options)
    tensors = other.to_tensors()
    return (
        all(torch.equal(value, tensors[key]) for key, value in plain.to_tensors().items())
        and found.history == record.history
        and found.trace == record.trace
    )


@pytest.fixture
def no_collection():
    """No garbage is collected: what hangs in a cycle stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def longer(batches, monkeypatch):
    """Batches of two images: five steps an epoch."""
    object.__setattr__(batches, "batch_size", 2)
    return batches


@pytest.mark.parametrize("name", ALIKE)
def test_replayed_run_is_the_run(name, task, longer, recorder):
    made = recorder()
    assert same(name, task, longer, recorder=made) and made.replayed


@pytest.mark.parametrize("name", ["clip_lora", "random_prune"])
def test_steps_that_draw_are_not_recorded(name, task, longer, recorder):
    made = recorder()
    assert same(name, task, longer, recorder=made) and not made.recorded


def test_clip_lora_without_dropout_is_recorded(task, longer, recorder):
    made = recorder()
    assert same("clip_lora", task, longer, {"dropout_rate": 0.0}, recorder=made) and made.replayed


def test_searching_steps_are_not_recorded(task, longer, recorder):
    made = recorder()
    method = build("dpl", task)
    assert not method.has_fixed_steps()
    tune("dpl", task, longer, method, recorder=made)
    assert method.has_fixed_steps() and made.recorded == 1


def test_a_step_is_recorded_anew_after_a_pruning(task, longer, recorder):
    """One step an epoch is pruned after in this run; three come before each recording."""
    made = recorder()
    method = build("adapt", task)
    method.schedule = replace(method.schedule, every=5)
    method.on_train_start = lambda per_epoch, steps: None
    _, record = tune("adapt", task, longer, method, recorder=made)
    assert made.recorded == 1 + len({row["step"] for row in record.trace})


@pytest.mark.parametrize("size", [3, 4])
def test_the_smaller_last_batch_of_an_epoch_is_neither_recorded_nor_replayed(size, task, batches, recorder):
    """With 3 it comes where the first step would be recorded."""
    object.__setattr__(batches, "drop_last", False)
    object.__setattr__(batches, "batch_size", size)
    made = recorder()
    assert same("uniform", task, batches, recorder=made)
    assert made.replayed == EPOCHS * (11 // size) - graphs.WARM


def test_a_replay_that_goes_astray_is_noticed(task, longer, recorder):
    made = recorder(spoil=lambda: [tensor.add_(0.1) for tensor in made.step.state()])
    assert same("adapt", task, longer, recorder=made)
    assert made.recorded == made.replayed == 1
    assert made.step.refused.startswith("a replayed step deviated by ")


@pytest.mark.parametrize("place", [0, -1])
def test_a_replay_that_gives_nan_is_noticed(place, task, longer, recorder):
    """In whichever tensor it does."""
    made = recorder(spoil=lambda: made.step.state()[place].fill_(torch.nan))
    assert same("adapt", task, longer, recorder=made)
    assert made.step.refused == "a replayed step deviated by nan of its length"


class Broken(Recorder):
    def record(self, work):
        self.recorded += 1
        work()
        raise RuntimeError("operation not permitted when stream is capturing")


def test_where_recording_fails_it_is_tried_once_and_the_run_is_the_same(task, longer, recorder):
    made = recorder(Broken)
    assert same("adapt", task, longer, recorder=made) and made.recorded == 1


def test_where_recording_fails_the_log_says_why(task, longer, recorder):
    _, record = tune("uniform", task, longer, recorder=recorder(Broken))
    assert record.not_recorded == "operation not permitted when stream is capturing"


@pytest.mark.parametrize("name", ["adapt", "tip_adapter_f"])
def test_what_a_finished_run_held_is_free(name, task, longer, recorder, monkeypatch, no_collection):
    """Its trainer, optimizer and recordings are freed without a garbage collection.

    The next run needs their GPU memory.
    """
    made, held = recorder(), []
    init, record = trainer.Trainer.__init__, made.record

    def noted(self, *arguments):
        init(self, *arguments)
        held.extend([weakref.ref(self), weakref.ref(self.optimizer)])

    def recorded(work):
        recording, terms = record(work)
        held.append(weakref.ref(recording))
        return recording, terms

    monkeypatch.setattr(trainer.Trainer, "__init__", noted)
    made.record = recorded
    tune(name, task, longer, recorder=made)
    del made.step  # a true recorder does not know it
    assert len(held) > 2 and [reference() for reference in held] == [None] * len(held)
