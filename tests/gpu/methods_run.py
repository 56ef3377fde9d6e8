"""Tune methods on the pretended GPU and on the CPU; print a line of JSON for each.

    python -m tests.gpu.methods_run PRECISION METHODS [resume]

With `resume`, each run on the GPU is killed three times and resumed, and compared with an undisturbed one.
"""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapt.clip.backbone import Backbone, freeze
from adapt.data.loader import FewShotLoader
from adapt.runtime.checkpoint import Checkpoint
from adapt.training.numerics import set_matmul_precision
from tests.conftest import Killed, make_deadly, make_loader, make_task, small_clip
from tests.gpu import pretend
from tests.methods.test_methods import build, tune

DEATHS = (((1, 1), 0.0), ((3, 0), 0.0), ((4, 1), 1e9))  # within an epoch, between two, an epoch after it was saved
APART = ("adapt/data/", "adapt/pruning.py:", "adapt/training/trainer.py:save")  # what may wait within a step
APART_TOO = (":on_after_step", ":normalise")


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest, over the largest number."""
    if found.shape != expected.shape:
        return float("inf")
    one, other = found.cpu().double(), expected.double()
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-9)) if expected.numel() else 0.0


def pruned(log: Any) -> list[Any]:
    """Which tokens went when, without their scores."""
    return [(row["step"], row["branch"], row["layer"], row["token"]) for row in log.trace] if log else []


def in_a_step(wait: pretend.Wait) -> bool:
    """Return whether a wait belongs to the training step itself.

    Waits for its batch, for pruning and for saving do not count.
    """
    if any(name.startswith(APART) or name.endswith(APART_TOO) for name in wait.functions):
        return False
    return "adapt/training/trainer.py:step" in wait.functions or wait.functions == ("backward",)


def in_pruning(wait: pretend.Wait) -> bool:
    """Whether it is pruning that waits."""
    return any(name.endswith(":on_after_step") for name in wait.functions)


def after_first_epochs(phases: list[int]) -> Callable[[range], Iterable[int]]:
    """Return a progress function that forgets the waits in each phase's first epoch.

    In these epochs texts are embedded and masks are made, and then kept.
    """
    first = list(accumulate(phases, initial=0))

    def progress(numbers: range) -> Iterator[int]:
        for number in numbers:
            yield number
            if number in first:
                pretend.waits.clear()

    return progress


def scores(method: Any, loader: FewShotLoader) -> Tensor:
    """What a method says of images that are cut alike everywhere."""
    with torch.no_grad():
        return method.eval().classifier()(loader.eval_batch(0, 4).images)


def compare(name: str, cpu: Backbone, gpu: Backbone) -> Iterator[tuple[str, Any]]:
    """What a method gives on the GPU beside what it gives on the CPU."""
    with pretend.off():
        loader = make_loader(cpu)
        expected, log = tune(name, make_task(cpu), loader)
        tensors, said = expected.to_tensors(), scores(expected, loader)
    task, loader = make_task(gpu), make_loader(gpu)
    progress = after_first_epochs(build(name, task).phase_epochs())
    pretend.waits.clear()
    method, found = tune(name, task, loader, progress=progress)
    yield "waits", Counter(f"{wait.kind}: {', '.join(wait.functions[:3])}" for wait in filter(in_a_step, pretend.waits))
    prunings = {step for step, *_ in pruned(found)}
    pruning = [
        wait for wait in pretend.waits if "adapt/training/trainer.py:step" in wait.functions and in_pruning(wait)
    ]
    yield "waits_to_prune", len(pruning) / max(len(prunings), 1)
    yield "same_trace", pruned(found) == pruned(log)
    saved = method.to_tensors()
    yield "tensors", max((difference(saved[key], value) for key, value in tensors.items()), default=0.0)
    again = build(name, task)
    again.load_tensors(saved)
    yield "loaded", difference(scores(again, loader), said)
    yield "scores", difference(scores(method, loader), said)


def resume(name: str, gpu: Backbone) -> Iterator[tuple[str, Any]]:
    """Return whether a method that was killed and resumed ends as an undisturbed one."""
    task, loader = make_task(gpu), make_loader(gpu)
    whole, log = tune(name, task, loader)
    with tempfile.TemporaryDirectory() as folder:
        for at, seconds in DEATHS:
            store = Checkpoint(Path(folder) / "run", "f" * 64, seconds)
            try:
                tune(name, task, make_deadly(loader, *at), store=store)
            except Killed:
                store.close()
        store = Checkpoint(Path(folder) / "run", "f" * 64, 0.0)
        method, again = tune(name, task, loader, store=store)
        store.close()
    assert log and again
    tensors = method.to_tensors()
    yield "same_tensors", all(torch.equal(tensors[key], value) for key, value in whole.to_tensors().items())
    yield "same_history", again.history == log.history
    yield "same_trace", again.trace == log.trace


def main() -> None:
    """See above."""
    torch.set_num_threads(1)
    precision: Any = sys.argv[1]
    set_matmul_precision(precision)
    cpu = replace(small_clip(), precision=precision)
    with pretend.Pretend():
        gpu = replace(freeze("tiny", small_clip().model.to("cuda"), torch.device("cuda")), precision=precision)
        for name in sys.argv[2].split(","):
            line = {"method": name}
            try:
                line.update(resume(name, gpu) if "resume" in sys.argv else compare(name, cpu, gpu))
            except Exception as error:  # what is not in the line fails its test, which shows the line
                line["error"] = f"{type(error).__name__}: {error}"
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
