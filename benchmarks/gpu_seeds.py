"""Seeds side by side on a GPU, for benchmarks/gpu.py: they begin together, and the time that all share counts."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any

from adapt.runtime import workers
from benchmarks import rig
from benchmarks.gpu_step import Row, Stepper, ms

SEEDS, PATIENCE = 3, 60.0  # side by side; and the seconds in which all have to be warm
COUNTED = 4.0  # the seconds in which their steps are counted


def begin(prepare: Callable[[], Callable[[], Any]], together: Barrier | None) -> list[float]:
    """When some prepared work began, and when each of its repetitions ended, for some seconds.

    together: where it waits until the others are prepared as well
    """
    try:
        work = prepare()
        if together:
            together.wait(PATIENCE)
    except BaseException:
        if together:
            together.abort()  # the others wait for it
        raise
    times = [time.monotonic()]  # one clock for all processes
    while times[-1] < times[0] + COUNTED:
        rig.seconds(work)
        times.append(time.monotonic())
    return times


def shared_rate(ends: Sequence[Sequence[float]]) -> float:
    """Repetitions a second of several processes, in the time in which all were at work."""
    start, end = max(times[0] for times in ends), min(times[-1] for times in ends)
    if start >= end:
        raise ValueError("the processes were never at work at the same time")
    return sum(start < time <= end for times in ends for time in times) / (end - start)


def prepare_seed(graph: bool) -> Callable[[], Any]:
    """A step of `adapt`, warm."""
    one = Stepper("adapt", 100, "bfloat16")
    work = one.replay if graph else one.step
    ms(work, 1)
    return work


def side_by_side(graph: bool) -> Row:
    """The steps of three seeds in three processes over those of one."""
    prepare = partial(prepare_seed, graph)
    alone = shared_rate([workers.apart(lambda: begin(prepare, None))])
    together = multiprocessing.get_context("fork").Barrier(SEEDS)
    found = workers.run(lambda _: begin(prepare, together), range(SEEDS), processes=SEEDS, setting="SEEDS")
    return {"alone": round(alone, 1), "together": round(shared_rate(list(found)) / alone, 2)}
