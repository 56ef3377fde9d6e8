"""The tuning loop. It knows methods and batches, nothing of CLIP."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from adapt.config import AdamWConfig, SGDConfig
from adapt.errors import UserError
from adapt.runtime import signals
from adapt.training import optimizers as optimisers


@dataclass
class TrainLog:
    """What a run leaves behind: rows of history.csv and trace.csv, steps done and seconds they took."""

    history: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0

    def removed(self, epoch: int, left: int, removals: Iterable[Any]) -> None:
        """Add removed tokens to the trace."""
        self.trace += [
            {"step": self.steps, "epoch": epoch, "tokens_left": left, **removal._asdict()} for removal in removals
        ]


class Epoch(NamedTuple):
    """An epoch: of which phase, which of its epochs, and how many steps the phase has."""

    phase: int
    index: int
    steps: int


@runtime_checkable
class Batches(Protocol):
    """Call with an epoch (from 0) for its batches; the length is their number."""

    def __len__(self) -> int:
        """Batches an epoch."""
        ...

    def __call__(self, epoch: int, first: int = 0) -> Iterable[Any]:
        """The batches of an epoch, from number `first` on."""
        ...


@runtime_checkable
class Store(Protocol):
    """Where a run's state is kept, after every epoch and whenever it is due."""

    path: Path

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None."""
        ...

    def due(self) -> bool:
        """Whether it is time to save."""
        ...

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state."""
        ...


def fit(
    method: Any,
    batches: Batches,
    settings: SGDConfig | AdamWConfig,
    *,
    steps: int,
    store: Store | None = None,
    progress: Callable[[range], Iterable[int]] = iter,
) -> TrainLog:
    """Tune a method for so many optimiser steps in its last phase and return its record; the last step is kept.

    store: the state is saved there, and taken up from there.
    Raises: UserError when the loss is not finite; Interrupted after the step in which it was asked to stop.
    """
    if not any(parameter.numel() for parameter in method.parameters()):
        return TrainLog()
    per_epoch = len(batches)
    plan = [
        Epoch(phase, number, total)
        for phase, total in enumerate([*(epochs * per_epoch for epochs in method.phase_epochs()), steps])
        for number in range(math.ceil(total / per_epoch))
    ]
    method.on_train_start(per_epoch, steps)
    tuning = Trainer(method, batches, settings, plan, store)
    with signals.deferred():
        for number in progress(range(len(tuning.record.history), len(plan))):
            tuning.run(number)
    removed = list(method.on_fit_end(tuning.optimiser))
    tuning.record.removed(len(plan) - 1, tokens(method), removed)
    return tuning.record


def tokens(method: Any) -> int:
    """Tokens in all."""
    return sum(map(sum, method.lengths().values()))


class Trainer:
    """A run under way: its method and optimiser, its record, and the losses of the epoch that it is in.

    A batch is a pure function of epoch and step, so this is all that a resumed run needs to equal one never killed.
    """

    def __init__(
        self, method: Any, batches: Batches, settings: SGDConfig | AdamWConfig, plan: list[Epoch], store: Store | None
    ):
        self.method, self.batches, self.settings, self.plan, self.store = method, batches, settings, plan, store
        self.record, self.started, self.saved = TrainLog(), time.perf_counter(), 0
        self.step_losses: list[dict[str, Tensor]] = []  # loss and terms of this epoch's steps
        state = store.load() if store else None
        if state:
            self.resume(state)
        else:
            self.optimiser = optimisers.build(settings, method.parameters())

    def resume(self, state: dict[str, Any]) -> None:
        """Take up what `save` has saved."""
        self.record = TrainLog(**state["record"])
        self.saved = self.record.steps
        device = next(self.method.parameters()).device
        names, rows = state["seen"].keys(), zip(*(values.to(device) for values in state["seen"].values()), strict=True)
        self.step_losses = [dict(zip(names, row, strict=True)) for row in rows]
        self.method.on_phase_start(self.plan[len(self.record.history) - (not self.step_losses)].phase)
        self.method.load_training_state(state["method"])
        self.optimiser = optimisers.build(self.settings, self.method.parameters())
        self.optimiser.load_state_dict(state["optimiser"])

    def save(self, number: int) -> None:
        """Keep the state, unless a loss of this epoch was not finite."""
        self.check(number)
        self.record.seconds += -self.started + (since := time.perf_counter())
        self.started = since
        if self.store:
            seen = {
                name: torch.stack([terms[name] for terms in self.step_losses]).cpu()
                for name in (self.step_losses or [{}])[0]
            }
            state = {"method": self.method.training_state(), "optimiser": self.optimiser.state_dict()}
            self.store.save({**state, "record": asdict(self.record), "seen": seen})
            self.saved = self.record.steps

    def lr(self, number: int, step: int) -> float:
        """The learning rate of a step of an epoch."""
        per_epoch, epoch = len(self.batches), self.plan[number]
        return optimisers.learning_rate(
            self.settings, epoch.index * per_epoch + step, per_epoch=per_epoch, total=epoch.steps
        )

    def run(self, number: int) -> None:
        """Finish an epoch. Nothing waits for the device but prunings and saving."""
        epoch, done, per_epoch = self.plan[number], len(self.step_losses), len(self.batches)
        self.started = time.perf_counter()
        if epoch.index == 0 and not done:
            self.method.on_phase_start(epoch.phase)
            self.optimiser = optimisers.build(self.settings, self.method.parameters())
        steps = min(epoch.steps - epoch.index * per_epoch, per_epoch)
        for step, batch in enumerate(islice(self.batches(number, done), steps - done), start=done):
            self.step(batch, self.lr(number, step), number)
            if signals.stop_requested() or (self.store and self.store.due()):
                self.save(number)
            signals.check_stop()
        self.method.on_epoch_end(number)
        self.check(number)
        means = {
            name: torch.stack([terms[name] for terms in self.step_losses]).mean().item() for name in self.step_losses[0]
        }
        row = {"epoch": number, "lr": self.lr(number, steps - 1), **means, "tokens": tokens(self.method)}
        self.record.history.append(row)
        self.step_losses = []
        self.save(number)

    def step(self, batch: Any, rate: float, number: int) -> None:
        """One step of the optimiser."""
        self.record.steps += 1
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss, terms = self.method.losses(batch)
        self.step_losses.append({name: term.detach() for name, term in {"loss": loss, **terms}.items()})
        if not loss.requires_grad:  # every token has been pruned: nothing is left to tune
            return
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.method.on_after_backward(self.record.steps)
        self.optimiser.step()
        if removed := self.method.on_after_step(self.record.steps, number, self.optimiser):
            self.record.removed(number, tokens(self.method), removed)

    def check(self, number: int) -> None:
        """Refuse to go on from a loss that is not finite."""
        losses = torch.stack([terms["loss"] for terms in self.step_losses]).tolist() if self.step_losses else []
        bad = next((place for place, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if bad is None:
            return
        step = self.record.steps - len(self.step_losses) + bad + 1
        good = "there is no checkpoint before it"
        if self.store and self.saved:
            good = f"the last good checkpoint, {self.store.path}, is of step {self.saved}"
        raise UserError(
            f"the loss is {losses[bad]} in epoch {number}, at step {step} with learning rate "
            f"{self.lr(number, bad):g}; {good}; lower the learning rate of this method in the params"
        )
