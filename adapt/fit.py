"""The tuning loop. It knows methods and batches, nothing of CLIP."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from adapt.errors import UserError

TERMS = ("loss", "cross_entropy", "distill_text", "distill_image")


@dataclass
class Record:
    """What a run leaves behind: rows of history.csv and trace.csv, steps done and seconds they took."""

    history: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0


@runtime_checkable
class Store(Protocol):
    """Where a run's state is kept between epochs."""

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None."""
        ...

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state."""
        ...


def learning_rate(epoch: int, *, lr: float, epochs: int, warmup_epochs: int, warmup_lr: float) -> float:
    """Cosine from `lr` to nearly 0 after constant warm-up epochs; epoch counts from 0 (Dassl's convention).

    The cosine's period is `epochs`, not `epochs - warmup_epochs`, as in CoOp's released code.
    """
    if epoch < warmup_epochs:
        return warmup_lr
    return lr * (1 + math.cos(math.pi * (epoch - warmup_epochs) / epochs)) / 2


def fit(
    method: Any,
    batches: Callable[[int], Iterable[Any]],
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    epochs: int,
    warmup_epochs: int,
    warmup_lr: float,
    store: Store | None = None,
    progress: Callable[[range], Iterable[int]] = iter,
) -> Record:
    """Tune a method by SGD and return its record; the last step is kept (convention).

    store: the state is saved there after every epoch, and taken up from there.
    Raises: UserError when the loss is not finite.
    """
    record = Record()
    state = store.load() if store else None
    if state:
        method.resume(state["method"])
        record = Record(**state["record"])
    parameters = list(method.parameters())
    if not parameters or not sum(parameter.numel() for parameter in parameters):
        return record
    optimiser = torch.optim.SGD(parameters, lr=warmup_lr, momentum=momentum, weight_decay=weight_decay)
    if state:
        optimiser.load_state_dict(state["optimiser"])
    for epoch in progress(range(len(record.history), epochs)):
        start = time.perf_counter()
        rate = learning_rate(epoch, lr=lr, epochs=epochs, warmup_epochs=warmup_epochs, warmup_lr=warmup_lr)
        for group in optimiser.param_groups:
            group["lr"] = rate
        means = run_epoch(method, optimiser, batches(epoch), epoch, record)
        tokens = sum(map(sum, method.lengths().values()))
        record.history.append({"epoch": epoch, "lr": rate, **dict(zip(TERMS, means, strict=True)), "tokens": tokens})
        record.seconds += time.perf_counter() - start
        if not math.isfinite(means[0]):
            raise UserError(
                f"the loss is {means[0]} in epoch {epoch} (step {record.steps}) at learning rate {rate:g}; "
                "lower optimiser.lr in the params"
            )
        if store:
            store.save({"method": method.progress(), "optimiser": optimiser.state_dict(), "record": asdict(record)})
    return record


def run_epoch(
    method: Any, optimiser: torch.optim.Optimizer, batches: Iterable[Any], epoch: int, record: Record
) -> list[float]:
    """All steps of one epoch; the means of the loss and of its terms. Nothing waits for the device but prunings."""
    terms: list[Tensor] = []
    for batch in batches:
        record.steps += 1
        loss, parts = method.losses(batch)
        terms.append(torch.stack([loss, *(parts[name] for name in TERMS[1:])]).detach())
        if not loss.requires_grad:  # every token has been pruned: nothing is left to tune
            continue
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        method.observe(record.steps)
        optimiser.step()
        removed = method.revise(record.steps, epoch, optimiser)
        left = sum(map(sum, method.lengths().values())) if removed else 0
        record.trace += [
            {"step": record.steps, "epoch": epoch, "tokens_left": left, **removal._asdict()} for removal in removed
        ]
    return torch.stack(terms).mean(dim=0).tolist()
