"""Shared parts of the benchmarks: random ViT-B/16, timers, processes, the record.

`reports/benchmarks.json` holds each benchmark's rows and the machine they were measured on. README's table is made
from it.
"""

import itertools
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which
from typing import Any, TypeVar

import torch
from torch.nn import functional as F

from adapt import methods
from adapt.clip import backbone as clip
from adapt.clip import weights
from adapt.data.loader import Batch
from adapt.data.readers import imagenet_names
from adapt.pipeline import method_configs, params
from adapt.runtime import formats, malloc, platforms, yaml
from adapt.settings.composition import compose
from adapt.task import FewShotTask
from adapt.training.numerics import set_matmul_precision

T = TypeVar("T")

BACKBONE = "ViT-B-16-quickgelu"
BATCH = 4
CPU = torch.device("cpu")
SETTLED = {malloc.M_MMAP_MAX: 65536, -3: 32 << 20, malloc.M_TRIM_THRESHOLD: 64 << 20}  # -3: M_MMAP_THRESHOLD
RECORD = Path("reports/benchmarks.json")


def make_task(count: int, device: torch.device = CPU, precision: clip.Precision = "float32") -> FewShotTask:
    """Return a task with `count` classes, named as ImageNet's, repeated above 1000."""
    torch.manual_seed(0)
    malloc.keep_freed_pages()  # as every stage does
    set_matmul_precision(precision)
    backbone = clip.hold_in(clip.freeze(BACKBONE, weights.untrained(BACKBONE, device), device), precision)
    names = list(itertools.islice(itertools.cycle(imagenet_names().values()), count))
    return FewShotTask(
        backbone, "a photo of a {}.", names, F.normalize(torch.randn(count, 512, device=device), dim=-1), seed=1
    )


def make_method(name: str, task: FewShotTask) -> Any:
    """Return a method with the paper preset's settings."""
    paper = params.Params(**yaml.parse(compose(["preset=paper"])))
    return methods.build(name, task, dict(method_configs.of_params(paper, name, "caltech101")))


def make_batch(task: FewShotTask) -> Batch:
    """Return random images with the frozen model's features of them."""
    images = torch.randn(BATCH, 3, 224, 224, device=task.backbone.device)
    with torch.no_grad():
        teacher = F.normalize(task.backbone.encode_image(images), dim=-1)
    return Batch(lambda: images, torch.arange(BATCH, device=images.device) % len(task.classes), teacher)


@contextmanager
def allocator_as_it_comes() -> Iterator[None]:
    """Run with glibc's allocator at the settings that it reaches by itself.

    Blocks of 32 MB and more are returned to the system. Afterwards the stages' settings apply again.
    """
    for option, value in SETTLED.items():
        malloc.call("mallopt", option, value)
    yield
    malloc.keep_freed_pages()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the duration of some work, on a GPU to its end, and its result."""
    start = time.perf_counter()
    outcome = work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - start, outcome


def warm(work: Callable[[], T]) -> tuple[float, T]:
    """Run some work once untimed, then as `timed`."""
    work()
    return timed(work)


def seconds(work: Callable[[], Any]) -> float:
    """Return the duration of some work."""
    return timed(work)[0]


def median(work: Callable[[], Any], repeats: int) -> float:
    """Return the median duration of some work, after an untimed run."""
    work()
    return statistics.median(seconds(work) for _ in range(repeats))


def gemm_rate() -> float:
    """Return the FLOPs per second of a matrix product of a step's size, at best."""
    a, b = torch.randn(1024, 768), torch.randn(768, 3072)
    return 2 * 1024 * 768 * 3072 / min(seconds(lambda: a @ b) for _ in range(30))


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run work in a process of its own, and return its result.

    The process's memory is freed afterwards. All these processes share one import of torch.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with context.Pool(1) as pool:
        return pool.apply(work, arguments)


def peak() -> float:
    """Return this process's peak memory in GB."""
    return platforms.peak_memory() / 1e9


def device() -> str:
    """Return the name of the device that `device: auto` uses."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"


def machine() -> dict[str, Any]:
    """Return the machine and the versions that a benchmark ran with."""
    about = Path("/proc/cpuinfo")  # of Linux
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "cpu": model, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "python": platform.python_version(),
        **{name: installed(name) for name in ("torch", "open_clip_torch", "dvc")},
    }  # fmt: skip


def installed(name: str) -> str | None:
    """Return the version of a package; None without it: `make gpu` runs without DVC."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit() -> str:
    """Return the current commit, with `-dirty` if files other than the reports differ.

    Empty without git.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip() if which("git") else ""

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/reports")
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def run(name: str, rows: Iterable[dict[str, Any]]) -> None:
    """Print the rows of a benchmark as they are measured, and record them."""
    found = []
    for row in rows:
        found.append(row)
        print(row, flush=True)
    record(name, found)


def record(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Replace a benchmark's entry in the record."""
    kept = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    kept[name] = {
        "command": f"python -m benchmarks.{name}",
        "commit": commit(),
        "machine": machine(),
        "rows": list(rows),
    }
    formats.write_json(RECORD, dict(sorted(kept.items())))
