"""Seeds side by side on a GPU, for benchmarks/gpu.py.

They start together, and only the time in which all of them run is counted.
"""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any

from adapt.runtime import workers
from benchmarks import rig
from benchmarks.gpu_step import Row, Stepper, ms

SEEDS, PATIENCE = 3, 60.0  # the number side by side; the seconds in which all of them have to be ready
COUNTED = 4.0  # seconds in which their steps are counted


def begin(prepare: Callable[[], Callable[[], Any]], together: Barrier | None) -> list[float]:
    """Repeat work for some seconds; return its start time and the end times.

    Args:
        prepare: returns the work, ready to run.
        together: a barrier to wait at until the other processes are ready too.
    """
    try:
        work = prepare()
        if together:
            together.wait(PATIENCE)
    except BaseException:
        if together:
            together.abort()  # else the others would wait for this process
        raise
    times = [time.monotonic()]  # one clock for all processes
    while times[-1] < times[0] + COUNTED:
        rig.seconds(work)
        times.append(time.monotonic())
    return times


def shared_rate(ends: Sequence[Sequence[float]]) -> float:
    """Return the repetitions per second of several processes together.

    Only the time in which all of them were at work counts.
    """
    start, end = max(times[0] for times in ends), min(times[-1] for times in ends)
    if start >= end:
        raise ValueError("the processes were never at work at the same time")
    return sum(start < time <= end for times in ends for time in times) / (end - start)


def prepare_seed(graph: bool) -> Callable[[], Any]:
    """Return a warm step of `adapt`."""
    one = Stepper("adapt", 100, "bfloat16")
    work = one.replay if graph else one.step
    ms(work, 1)
    return work


def side_by_side(graph: bool) -> Row:
    """Return the rate of three seeds in three processes over that of one."""
    prepare = partial(prepare_seed, graph)
    alone = shared_rate([workers.apart(lambda: begin(prepare, None))])
    together = multiprocessing.get_context("fork").Barrier(SEEDS)
    found = workers.run(lambda _: begin(prepare, together), range(SEEDS), processes=SEEDS, setting="SEEDS")
    return {"alone": round(alone, 1), "together": round(shared_rate(list(found)) / alone, 2)}
