"""The tuning step of the pocket preset: its CPU time, and what would shorten it.

    python -m benchmarks.pocket [REVISION]

`products` is the share of a step that its counted FLOPs take at the rate of a bare matrix product of the same size;
reordering operations cannot make a step shorter than that. `quick-GELU` is a step with OpenAI's activation over one
with the exact GELU. `three seeds` is a third of a step with three times as many images and classes, over a step: the
least that a seed would cost if three were tuned in one pass. One thread, as in the pipeline; all steps of a row are
timed in turn.

With a revision, whole fits by its code and by the current code are timed in turn as well: CPU milliseconds per step,
views included, and their ratio. The revision needs the library's `fit`.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import adapt
from adapt import methods
from adapt.clip import attention
from adapt.data.loader import Batch
from adapt.pipeline import method_configs, params
from adapt.runtime import malloc, yaml
from adapt.settings.composition import compose
from adapt.task import FewShotTask
from adapt.training import flops
from benchmarks import rig
from benchmarks.step import own_step
from tests.project import ROOT, environment

DATASETS = ("digits", "fontawesome")  # the fewest classes and the most
ROUNDS, FITS = 40, 3
SHORT, LONG = 2, 6  # epochs of two fits, whose difference in time is that of the steps alone

FIT = f"""
import time, adapt
clip, data = adapt.load_clip("pocket"), adapt.load_dataset("phosphor").few_shot(shots=16, seed=1)
features = adapt.teacher_features(clip, data)
def seconds(epochs):
    start = time.process_time()
    changed = {{"optimizer": {{"epochs": epochs}}, "prune": {{"warmup": 0}}}}
    adapt.fit("adapt", clip, data, features=features, progress=False, **changed)
    return time.process_time() - start
seconds({SHORT})
steps = len(data.train) // 16 * {LONG - SHORT}
print(1000 * (-seconds({SHORT}) + seconds({LONG})) / steps)
"""


def make_step(clip: Any, dataset: str, seeds: int) -> Callable[[], Any]:
    """Return a step of `adapt` with the images and classes of several seeds."""
    pocket = params.Params(**yaml.parse(compose([])))
    data = adapt.load_dataset(dataset)
    classes, batch = list(data.classes) * seeds, pocket.optimizer.batch_size * seeds
    features = F.normalize(torch.randn(len(classes) + batch, 128), dim=-1).split([len(classes), batch])
    task = FewShotTask(clip, data.template, classes, features[0], seed=1)
    method = methods.build("adapt", task, dict(method_configs.of_params(pocket, "adapt", dataset)))
    images = torch.randn(batch, 3, clip.image_size, clip.image_size)
    return own_step(method, Batch(lambda: images, torch.arange(batch) % len(classes), features[1]))


def with_activation(activation: type[nn.Module]) -> Any:
    """Return the pocket CLIP with another activation in all blocks."""
    clip = adapt.load_clip("pocket")
    for block in (*clip.model.visual.transformer.resblocks, *clip.model.transformer.resblocks):
        block.mlp.gelu = activation()
    return clip


def milliseconds(steps: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the median CPU time of each step, timed in turn."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            start = time.process_time()
            step()
            taken[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values[3:]) for name, values in taken.items()}


def parts(dataset: str) -> dict[str, Any]:
    """Return the time of a step on a dataset, and its parts."""
    clip = adapt.load_clip("pocket")
    one = make_step(clip, dataset, 1)
    with flops.counter() as counter:
        one()
    counted = counter.get_total_flops()
    others = {"exact": nn.GELU, "quick": attention.QuickGELU}
    found = milliseconds(
        {"step": one, "three": make_step(clip, dataset, 3)}
        | {name: make_step(with_activation(activation), dataset, 1) for name, activation in others.items()}
    )
    rows, width = 272, 128
    a, b = torch.randn(rows, width), torch.randn(width, 4 * width)
    rate = 2 * rows * width * 4 * width / min(rig.seconds(lambda: a @ b) for _ in range(300))
    return {
        "dataset": dataset, "milliseconds": round(found["step"], 1), "gflop": round(counted / 1e9, 2),
        "products": round(1000 * counted / rate / found["step"], 2),
        "quick-GELU": round(found["quick"] / found["exact"], 2),
        "three seeds": round(found["three"] / 3 / found["step"], 2),
    }  # fmt: skip


def against(revision: str) -> dict[str, Any]:
    """Time whole fits by another commit's code and by ours."""
    with tempfile.TemporaryDirectory(prefix="revision-") as home:
        theirs = Path(home, "tree")
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", theirs, revision], cwd=ROOT, check=True)
        try:
            taken: dict[Path, list[float]] = {ROOT: [], theirs: []}
            for _ in range(FITS):
                for folder, values in taken.items():
                    command = [sys.executable, "-c", FIT]
                    env = {**environment(), "PYTHONPATH": str(folder)}
                    done = subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, text=True)
                    values.append(float(done.stdout))
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", theirs], cwd=ROOT, check=True)
    ours, other = (statistics.median(values) for values in taken.values())
    return {
        "revision": revision,
        "milliseconds": round(other, 1),
        "ours": round(ours, 1),
        "ratio": round(ours / other, 2),
    }


def table(recorded: dict[str, Any]) -> list[str]:
    """Return the recorded steps in Markdown, as in docs/speed.md."""
    lines = [
        "| dataset | a step | matrix products | quick-GELU | three seeds in one pass |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in recorded["rows"]:
        if "dataset" in row:
            shares = f"{row['products']:.2f} | {row['quick-GELU']:.2f} × | {row['three seeds']:.2f} × a seed"
            lines.append(f"| `{row['dataset']}` | {row['milliseconds']:.0f} ms | {shares} |")
    return lines


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    malloc.keep_freed_pages()
    works = [*(partial(parts, name) for name in DATASETS), *(partial(against, name) for name in sys.argv[1:])]
    rig.run("pocket", (work() for work in works))


if __name__ == "__main__":
    main()
