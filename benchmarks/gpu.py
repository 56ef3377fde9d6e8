"""Speed on a GPU, measured in at most four minutes: `make gpu`.

    python -m benchmarks.gpu                # step seeds evaluate switches tests, on ViT-B/16 with random weights
    python -m benchmarks.gpu step evaluate  # or: make gpu parts="step evaluate"
    python -m benchmarks.gpu seconds=120    # in two minutes

step: a training step of `adapt`, `promptsrc` and `coop` with 10, 100 and 1000 classes in both precisions, run eagerly,
replayed as a CUDA graph and, up to 100 classes, by the plain encoders (tests/plain.py). Beside it are the time that its
arithmetic takes at the rate of a bare matrix product, and its memory traffic at the rate of a bare copy, both measured
in the same run. seeds: three processes on the GPU against one. evaluate: images per second against bare
`encode_image`. switches: a step of `adapt` with deterministic kernels, and with cuDNN's attention, over one without.
tests: `pytest -m gpu tests/clip`, which are all tests with that mark.

A row is skipped if it would end too late, supposing that it takes as long as the longest before it. The skipped rows
are listed at the end and in the record. reports/gpu.json is written after each part, so that an interrupted run keeps
its results.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from adapt.clip import backbone as clip
from adapt.runtime import formats
from adapt.training.numerics import enable_determinism
from benchmarks import evaluate, rig
from benchmarks.gpu_seeds import side_by_side
from benchmarks.gpu_step import CUDA, PRETENDED, Row, Stepper, ms, step

RECORD = Path(".scratch/gpu.json" if PRETENDED else "reports/gpu.json")
METHODS, CLASSES = ("adapt", "promptsrc", "coop"), (10, 100, 1000)
PRECISIONS: tuple[clip.Precision, ...] = ("float32", "bfloat16")
SECONDS = 240.0  # for all parts, by default
TESTS = "tests/clip"  # has all tests that are marked `gpu`


def in_time(rows: Iterable[tuple[Row, Callable[[], Row]]], end: float, first: float = 10.0) -> list[Row]:
    """Measure rows until the time `end`, and mark the others as `skipped`.

    A row is expected to take as long as the longest before it, and the first one `first` seconds. Each row has its own
    settings and then its measurements.
    """
    found, took = [], list[float]()
    for about, measure in rows:
        start = time.time()
        if start + max(took, default=first) > end:
            found.append({**about, "skipped": True})
            continue
        found.append({**about, **measure()})
        took.append(time.time() - start)
    return found


def steps_in(precision: clip.Precision, end: float) -> list[Row]:
    """Measure the steps of every method and number of classes in one precision."""
    return in_time(
        (
            ({"method": name, "classes": classes, "precision": precision}, partial(step, precision, classes, name))
            for classes, name in itertools.product(CLASSES, METHODS)
        ),
        end,
    )


def steps(end: float) -> list[Row]:
    """Measure the steps in both precisions."""
    return [row for precision in PRECISIONS for row in rig.apart(steps_in, precision, end)]


def seeds(end: float) -> list[Row]:
    """Measure seeds side by side, with eager steps and with replayed ones.

    They are forked from this process, in which CUDA has not started.
    """
    return in_time((({"graph": graph}, partial(side_by_side, graph)) for graph in (False, True)), end, first=40.0)


def evaluations(end: float) -> list[Row]:
    """Measure plain CLIP and a tuned one: images per second, over bare `encode_image`."""
    evaluate.IMAGES, evaluate.BATCH = 2048, 256
    return in_time(
        (
            ({"method": name, "precision": precision}, partial(evaluate.compare, name, CUDA, precision))
            for name, precision in itertools.product(evaluate.METHODS, PRECISIONS)
        ),
        end,
    )


def deterministic(on: bool) -> None:
    """Switch deterministic kernels on or off."""
    if on:
        enable_determinism()
    else:
        torch.use_deterministic_algorithms(False)
        torch.backends.cuda.enable_mem_efficient_sdp(True)


SWITCHES = {"deterministic": deterministic, "cudnn_attention": torch.backends.cuda.enable_cudnn_sdp}
if PRETENDED:
    del SWITCHES["cudnn_attention"]


def switched_step(name: str, precision: clip.Precision) -> Row:
    """Return the time of a step of `adapt` with a switch over that without.

    `first_ms` is the first step with the switch.
    """
    one = Stepper("adapt", 10, precision)
    usual = ms(one.step)
    SWITCHES[name](True)
    first = rig.seconds(one.step) * 1e3
    ratio = ms(one.step) / usual
    SWITCHES[name](False)
    return {"step": round(ratio, 2), "first_ms": round(first, 1)}


def switched(end: float) -> list[Row]:
    """Measure every switch in both precisions."""
    return in_time(
        (
            ({"switch": name, "precision": precision}, partial(switched_step, name, precision))
            for precision, name in itertools.product(PRECISIONS, SWITCHES)
        ),
        end,
    )


def tested(end: float) -> Row:
    """Run pytest, stopped at the end of the time, and return its status and last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", TESTS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, end - time.time()))
    except subprocess.TimeoutExpired:
        return {"skipped": True}
    return {"status": done.returncode, "says": done.stdout.strip().splitlines()[-1:]}


def tests(end: float) -> list[Row]:
    """Run the tests marked `gpu`."""
    return in_time([({"command": f"pytest -m gpu {TESTS}"}, partial(tested, end))], end)


PARTS: dict[str, Callable[[float], list[Row]]] = {
    "step": steps,
    "seeds": seeds,
    "evaluate": lambda end: rig.apart(evaluations, end),
    "switches": lambda end: rig.apart(switched, end),
    "tests": tests,
}


def card() -> dict[str, Any]:
    """Return facts on the GPU and its driver, read in a process of its own."""
    properties = torch.cuda.get_device_properties(0)
    asked = subprocess.run(
        "nvidia-smi --query-gpu=driver_version --format=csv,noheader", shell=True, capture_output=True, text=True
    )
    return {
        "gpu": properties.name, "capability": f"{properties.major}.{properties.minor}",
        "memory_gb": round(properties.total_memory / 1e9, 1), "driver": asked.stdout.strip().split("\n")[0],
        "cuda": torch.version.cuda,
    }  # fmt: skip


def asked(words: Sequence[str]) -> tuple[list[str], float]:
    """Parse the arguments: the parts, all of them by default, and the seconds."""
    seconds = SECONDS
    for word in words:
        if word.startswith("seconds="):
            try:
                seconds = float(word.removeprefix("seconds="))
            except ValueError:
                raise SystemExit(f"error: {word}: seconds takes a number, such as seconds=120") from None
    parts = [word for word in words if not word.startswith("seconds=")]
    if unknown := sorted(set(parts) - set(PARTS)):
        raise SystemExit(f"error: there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    return parts or list(PARTS), seconds


def measured(part: str, end: float) -> dict[str, Any]:
    """Return the rows of a part, each printed, and their duration.

    A part that would start after the end is skipped.
    """
    start = time.time()
    if start > end:
        return {"skipped": True, "rows": []}
    try:
        rows = PARTS[part](end)
    except Exception as error:  # with a new GPU, driver or PyTorch anything may fail; the other parts still run
        rows = [{"failed": " ".join(f"{type(error).__name__}: {error}".split())[:300]}]
    for row in rows:
        print(f"{part}: {json.dumps(row)}", flush=True)
    return {"seconds": round(time.time() - start, 1), "rows": rows}


def skipped(part: str, found: dict[str, Any]) -> list[str]:
    """Return the skipped parts and rows: `seeds`, or `step adapt 1000 float32`."""
    if "skipped" in found:
        return [part]
    late = [row for row in found["rows"] if "skipped" in row]
    return [" ".join([part, *(str(value) for key, value in row.items() if key != "skipped")]) for row in late]


def main() -> None:
    wanted, seconds = asked(sys.argv[1:])
    end = (
        float(os.environ.get("GPU_BEGAN", time.time())) + seconds
    )  # counted from the start of gpu.sh, imports included
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS reads it once, and `deterministic` needs it
    if not torch.cuda.device_count():
        raise SystemExit("error: torch sees no GPU; `make bench` measures on a CPU")
    found = {"commit": rig.commit(), **rig.apart(card), **rig.machine(), "seconds": seconds, "skipped": []}
    RECORD.parent.mkdir(exist_ok=True)
    for part in wanted:
        found[part] = measured(part, end)
        found["skipped"] += skipped(part, found[part])
        formats.write_json(RECORD, found)
    if found["skipped"]:
        print(f"skipped, since {seconds:g} seconds are too short: {', '.join(found['skipped'])}")
    print(f"wrote {RECORD}")


if __name__ == "__main__":
    main()
