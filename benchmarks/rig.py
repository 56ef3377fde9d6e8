"""What the benchmarks share: ViT-B/16 with random weights, a clock, a process of one's own, and the record.

`reports/benchmarks.json` holds, by benchmark, its rows and what they were measured with; README's table is made of it.
"""

import itertools
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
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
    """A task of so many classes with ImageNet's names, over again above 1000."""
    torch.manual_seed(0)
    malloc.keep_freed_pages()  # as every stage does
    set_matmul_precision(precision)
    backbone = clip.hold_in(clip.freeze(BACKBONE, weights.untrained(BACKBONE, device), device), precision)
    names = list(itertools.islice(itertools.cycle(imagenet_names().values()), count))
    return FewShotTask(
        backbone, "a photo of a {}.", names, F.normalize(torch.randn(count, 512, device=device), dim=-1), seed=1
    )


def make_method(name: str, task: FewShotTask) -> Any:
    """A method with the paper preset's settings."""
    paper = params.Params(**yaml.parse(compose(["preset=paper"])))
    return methods.build(name, task, dict(method_configs.of_params(paper, name, "caltech101")))


def make_batch(task: FewShotTask) -> Batch:
    """Random images with what the frozen model says of them."""
    images = torch.randn(BATCH, 3, 224, 224, device=task.backbone.device)
    with torch.no_grad():
        teacher = F.normalize(task.backbone.encode_image(images), dim=-1)
    return Batch(lambda: images, torch.arange(BATCH, device=images.device) % len(task.classes), teacher)


@contextmanager
def allocator_as_it_comes() -> Iterator[None]:
    """glibc's, as it settles by itself: blocks of 32 MB and more go back to the system. Then as stages have it."""
    for option, value in SETTLED.items():
        malloc.call("mallopt", option, value)
    yield
    malloc.keep_freed_pages()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """How long some work takes, on a GPU to its end, and what it returns."""
    start = time.perf_counter()
    outcome = work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - start, outcome


def warm(work: Callable[[], T]) -> tuple[float, T]:
    """As `timed`, after once without a clock."""
    work()
    return timed(work)


def seconds(work: Callable[[], Any]) -> float:
    """How long some work takes."""
    return timed(work)[0]


def median(work: Callable[[], Any], repeats: int) -> float:
    """The median time of some work, after once without a clock."""
    work()
    return statistics.median(seconds(work) for _ in range(repeats))


def gemm_rate() -> float:
    """FLOPs a second of a matrix product of a step's size, the best of some."""
    a, b = torch.randn(1024, 768), torch.randn(768, 3072)
    return 2 * 1024 * 768 * 3072 / min(seconds(lambda: a @ b) for _ in range(30))


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """What some work returns in a process of its own, whose memory is given back; all import torch once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with context.Pool(1) as pool:
        return pool.apply(work, arguments)


def peak() -> float:
    """The most memory that this process has held, in GB."""
    return platforms.peak_memory() / 1e9


def device() -> str:
    """What `device: auto` computes on."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"


def machine() -> dict[str, Any]:
    """On what was measured."""
    about = Path("/proc/cpuinfo")  # of Linux
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "cpu": model, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "python": platform.python_version(),
        **{name: installed(name) for name in ("torch", "open_clip_torch", "dvc")},
    }  # fmt: skip


def installed(name: str) -> str | None:
    """The version of a package, if it is here: `make gpu` does without DVC."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit() -> str:
    """The commit at hand, `-dirty` where anything but the reports differs from it; nothing where there is no git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip() if which("git") else ""

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/reports")
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def record(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Replace a benchmark's entry."""
    kept = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    kept[name] = {
        "command": f"python -m benchmarks.{name}",
        "commit": commit(),
        "machine": machine(),
        "rows": list(rows),
    }
    formats.write_json(RECORD, dict(sorted(kept.items())))
