"""The training loop over methods, batches and optimizers; independent of CLIP."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from adapt.config import AdamWConfig, SGDConfig
from adapt.data.loader import Batch, FewShotLoader
from adapt.errors import UserError
from adapt.methods._base import Method
from adapt.pruning import PrunedToken
from adapt.runtime import ahead, signals
from adapt.runtime.checkpoint import Checkpoint
from adapt.training import optimizers
from adapt.training.graphs import GraphedStep, Recorder

Row = Mapping[
    str, float | int
]  # of an epoch: its number, learning rate, losses, tokens left, and measurements after it
Measure = Callable[[Method], Row]


@dataclass
class TrainLog:
    """The log of a run: rows of history.csv and trace.csv, steps and their seconds.

    measured: by epoch, the measurements after it; not written to a file, since they are no part of the result.
    not_recorded: why steps were not replayed as CUDA graphs, if recording was tried and failed.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    measured: dict[int, Row] = field(default_factory=dict)
    not_recorded: str | None = None

    def add_pruned(self, epoch: int, tokens_left: int, pruned: Iterable[PrunedToken]) -> None:
        """Add pruned tokens to the trace."""
        self.trace += [{"step": self.steps, "epoch": epoch, "tokens_left": tokens_left, **p._asdict()} for p in pruned]

    def row(self, epoch: int) -> Row:
        """Return the history of an epoch, with the measurements after it."""
        return {**self.history[epoch], **self.measured.get(epoch, {})}


class Epoch(NamedTuple):
    """An epoch: its phase, its index in the phase, and the steps of the phase."""

    phase: int
    index: int
    steps: int


def train(
    method: Method,
    loader: FewShotLoader,
    config: SGDConfig | AdamWConfig,
    *,
    steps: int,
    store: Checkpoint | None = None,
    progress: Callable[[range], Iterable[int]] = iter,
    recorder: Recorder | None = None,
    measure: Measure | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> TrainLog:
    """Train a method for `steps` optimizer steps in its last phase; return its log.

    The method keeps the parameters of the last step.
    store: the state is saved to it and resumed from it; recorder: records steps and replays them.
    measure: called after every epoch. It must not change the method or a random generator; no result depends on it.
    on_epoch: called once with the row of every epoch, in order. The epochs before the checkpoint are reported at the
        start.
    Raises: UserError if the loss is not finite; Interrupted after the step during which a stop was requested.
    """
    if not any(parameter.numel() for parameter in method.parameters()):
        return TrainLog()
    per_epoch = len(loader)
    plan = [
        Epoch(phase, number, total)
        for phase, total in enumerate([*(epochs * per_epoch for epochs in method.phase_epochs()), steps])
        for number in range(math.ceil(total / per_epoch))
    ]
    method.on_train_start(per_epoch, steps)
    trainer = Trainer(method, loader, config, plan, store, recorder, measure)
    tell = on_epoch or (lambda row: None)
    try:
        with signals.deferred():
            done = len(trainer.log.history)
            for number in range(done):
                tell(trainer.log.row(number))
            for number in progress(range(done, len(plan))):
                trainer.run(number)
                tell(trainer.log.row(number))
        trainer.log.not_recorded = trainer.graph.refused if trainer.graph else None
    finally:
        trainer.graph = None  # a reference cycle: it would hold a GPU's memory until a garbage collection
    removed = list(method.on_fit_end(trainer.optimizer))
    trainer.log.add_pruned(len(plan) - 1, tokens(method), removed)
    return trainer.log


def in_words(row: Row) -> str:
    """Format the row of an epoch for a progress bar."""
    accuracy = f", val accuracy {row['accuracy']:.3f}" if "accuracy" in row else ""
    return f"loss {row['loss']:.4f}, {row['tokens']} tokens{accuracy}"


def prepared(batch: Batch) -> Batch:
    """Prepare a batch's images and return the batch."""
    batch.prepare()
    return batch


def detached(loss: Tensor, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Detach a loss and its terms from the autograd graph."""
    return {name: term.detach() for name, term in {"loss": loss, **terms}.items()}


def tokens(method: Method) -> int:
    """Return the total number of tokens."""
    return sum(map(sum, method.lengths().values()))


class Trainer:
    """A run in progress: method, optimizer, log, and the losses of the current epoch.

    A batch is a pure function of epoch and step. So with this state, a resumed run equals an uninterrupted one.
    """

    def __init__(
        self,
        method: Method,
        loader: FewShotLoader,
        config: SGDConfig | AdamWConfig,
        plan: list[Epoch],
        store: Checkpoint | None,
        recorder: Recorder | None = None,
        measure: Measure | None = None,
    ):
        self.method, self.loader, self.config, self.plan, self.store = method, loader, config, plan, store
        self.device = next(method.parameters()).device
        self.log, self.started, self.saved = TrainLog(), time.perf_counter(), 0
        self.measure = measure
        self.step_losses: list[dict[str, Tensor]] = []  # loss and terms of this epoch's steps
        self.graph = GraphedStep(method, lambda: self.optimizer, self.descend, recorder) if recorder else None
        state = store.load() if store else None
        if state:
            self.resume(state)
        else:
            self.optimizer = optimizers.build(config, method.parameters())

    def resume(self, state: dict[str, Any]) -> None:
        """Load the state that `save` saved."""
        self.log = TrainLog(**state["log"])
        self.saved = self.log.steps
        names, rows = (
            state["seen"].keys(),
            zip(*(values.to(self.device) for values in state["seen"].values()), strict=True),
        )
        self.step_losses = [dict(zip(names, row, strict=True)) for row in rows]
        self.method.on_phase_start(self.plan[len(self.log.history) - (not self.step_losses)].phase)
        self.method.load_training_state(state["method"])
        self.optimizer = optimizers.build(self.config, self.method.parameters())
        optimizers.load(self.optimizer, state["optimizer"])

    def save(self, number: int) -> None:
        """Save the state; raise UserError instead if a loss of this epoch is not finite."""
        self.check(number)
        self.log.seconds += -self.started + (since := time.perf_counter())
        self.started = since
        if self.store:
            seen = {
                name: torch.stack([terms[name] for terms in self.step_losses]).cpu()
                for name in (self.step_losses or [{}])[0]
            }
            state = {"method": self.method.training_state(), "optimizer": self.optimizer.state_dict()}
            self.store.save({**state, "log": asdict(self.log), "seen": seen})
            self.saved = self.log.steps

    def lr(self, number: int, step: int) -> float:
        """Return the learning rate of a step of an epoch."""
        per_epoch, epoch = len(self.loader), self.plan[number]
        return optimizers.learning_rate(
            self.config, epoch.index * per_epoch + step, per_epoch=per_epoch, total=epoch.steps
        )

    def run(self, number: int) -> None:
        """Run an epoch to its end; only pruning and saving wait for the device."""
        epoch, done, per_epoch = self.plan[number], len(self.step_losses), len(self.loader)
        self.started = time.perf_counter()
        if epoch.index == 0 and not done:
            self.method.on_phase_start(epoch.phase)
            self.optimizer = optimizers.build(self.config, self.method.parameters())
            if self.graph:
                self.graph.forget()
        steps = min(epoch.steps - epoch.index * per_epoch, per_epoch)
        batches = self.loader(number, done)
        if self.method.modifies_image_tower:  # on a GPU, threads crop the views of the next batches meanwhile
            batches = ahead.run(prepared, batches, ahead.THREADS if self.device.type == "cuda" else 0)
        for step, batch in enumerate(islice(batches, steps - done), start=done):
            self.step(batch, self.lr(number, step), number)
            if signals.stop_requested() or (self.store and self.store.should_save()):
                self.save(number)
            signals.check_stop()
        self.method.on_epoch_end(number)
        self.check(number)
        means = {
            name: torch.stack([terms[name] for terms in self.step_losses]).mean().item() for name in self.step_losses[0]
        }
        row = {"epoch": number, "lr": self.lr(number, steps - 1), **means, "tokens": tokens(self.method)}
        self.log.history.append(row)
        self.step_losses = []
        if self.measure:
            before = time.perf_counter()
            self.log.measured[number] = self.measure(self.method)
            self.started += time.perf_counter() - before  # not part of the training time
        self.save(number)

    def step(self, batch: Batch, lr: float, number: int) -> None:
        """Run one optimizer step."""
        self.log.steps += 1
        optimizers.set_learning_rate(self.optimizer, lr)
        if not any(parameter.numel() for parameter in self.method.parameters()):
            loss, terms = self.method.losses(batch)  # every token has been pruned: nothing is left to tune
            self.step_losses.append(detached(loss, terms))
            return
        self.step_losses.append(self.descend(batch) if self.graph is None else self.graph(batch))
        if removed := self.method.on_after_step(self.log.steps, number, self.optimizer):
            self.log.add_pruned(number, tokens(self.method), removed)
            if self.graph:
                self.graph.forget()

    def descend(self, batch: Batch) -> dict[str, Tensor]:
        """Update the parameters on a batch; return its loss and terms."""
        self.optimizer.zero_grad(set_to_none=True)
        loss, terms = self.method.losses(batch)
        loss.backward()
        self.method.on_after_backward(self.log.steps)
        self.optimizer.step()
        return detached(loss, terms)

    def check(self, number: int) -> None:
        """Raise UserError if a loss of this epoch is not finite."""
        losses = torch.stack([terms["loss"] for terms in self.step_losses]).tolist() if self.step_losses else []
        bad = next((place for place, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if bad is None:
            return
        step = self.log.steps - len(self.step_losses) + bad + 1
        good = "there is no checkpoint before it"
        if self.store and self.saved:
            good = f"the last good checkpoint, {self.store.path}, is of step {self.saved}"
        raise UserError(
            f"the loss is {losses[bad]} in epoch {number}, at step {step} with learning rate "
            f"{self.lr(number, bad):g}; {good}; lower the learning rate of this method, optimizer.lr"
        )
