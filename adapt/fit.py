"""The tuning loop. It knows methods and batches, nothing of CLIP."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from adapt import optimiser as optimisers
from adapt.errors import UserError
from adapt.params import AdamW, Sgd


@dataclass
class Record:
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
    number: int
    total: int


@runtime_checkable
class Batches(Protocol):
    """Call with an epoch (from 0) for its batches; the length is their number."""

    def __len__(self) -> int:
        """Batches an epoch."""
        ...

    def __call__(self, epoch: int) -> Iterable[Any]:
        """The batches of an epoch."""
        ...


@runtime_checkable
class Store(Protocol):
    """Where a run's state is kept between epochs."""

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None."""
        ...

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state."""
        ...


def fit(
    method: Any,
    batches: Batches,
    settings: Sgd | AdamW,
    *,
    steps: int,
    store: Store | None = None,
    progress: Callable[[range], Iterable[int]] = iter,
) -> Record:
    """Tune a method for so many optimiser steps in its last phase and return its record; the last step is kept.

    store: the state is saved there after every epoch, and taken up from there.
    Raises: UserError when the loss is not finite.
    """
    record = Record()
    if not any(parameter.numel() for parameter in method.parameters()):
        return record
    per_epoch = len(batches)
    plan = [
        Epoch(phase, number, total)
        for phase, total in enumerate([*(epochs * per_epoch for epochs in method.phases()), steps])
        for number in range(math.ceil(total / per_epoch))
    ]
    state = store.load() if store else None
    if state:
        record = Record(**state["record"])
        method.begin(plan[len(record.history) - 1].phase)
        method.resume(state["method"])
    optimiser = optimisers.build(settings, method.parameters())
    if state:
        optimiser.load_state_dict(state["optimiser"])
    for number in progress(range(len(record.history), len(plan))):
        start, epoch = time.perf_counter(), plan[number]
        if epoch.number == 0:
            method.begin(epoch.phase)
            optimiser = optimisers.build(settings, method.parameters())
        chosen = range(epoch.number * per_epoch, min(epoch.total, (epoch.number + 1) * per_epoch))
        rates = [optimisers.rate(settings, step, per_epoch=per_epoch, total=epoch.total) for step in chosen]
        means = run_epoch(method, optimiser, islice(batches(number), len(rates)), rates, number, record)
        record.history.append({"epoch": number, "lr": rates[-1], **means, "tokens": tokens(method)})
        record.seconds += time.perf_counter() - start
        if not math.isfinite(means["loss"]):
            raise UserError(
                f"the loss is {means['loss']} in epoch {number} (step {record.steps}) at learning rate {rates[-1]:g}; "
                "lower the learning rate of this method in the params"
            )
        if store:
            store.save({"method": method.progress(), "optimiser": optimiser.state_dict(), "record": asdict(record)})
    removed = list(method.finish(optimiser))
    record.removed(len(plan) - 1, tokens(method), removed)
    return record


def tokens(method: Any) -> int:
    """Tokens in all."""
    return sum(map(sum, method.lengths().values()))


def run_epoch(
    method: Any,
    optimiser: torch.optim.Optimizer,
    batches: Iterable[Any],
    rates: list[float],
    epoch: int,
    record: Record,
) -> dict[str, float]:
    """All steps of one epoch; the means of the loss and of its terms. Nothing waits for the device but prunings."""
    seen: list[dict[str, Tensor]] = []
    for batch, rate in zip(batches, rates, strict=True):
        record.steps += 1
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, terms = method.losses(batch)
        seen.append({name: term.detach() for name, term in {"loss": loss, **terms}.items()})
        if not loss.requires_grad:  # every token has been pruned: nothing is left to tune
            continue
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        method.observe(record.steps)
        optimiser.step()
        if removed := method.revise(record.steps, epoch, optimiser):
            record.removed(epoch, tokens(method), removed)
    method.close(epoch)
    return {name: torch.stack([terms[name] for terms in seen]).mean().item() for name in seen[0]}
