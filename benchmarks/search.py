"""How the pocket's settings were chosen: accuracy on whole validation splits over a grid of params; test is not read.

    dvc repro teacher && python -m benchmarks.search optimiser.lr=0.005,0.01 context.length=4,8

Every combination is tuned on every dataset and seed of params.yaml with the methods that train, and adds a row to
reports/search.csv: the settings, the mean accuracy by method, and `adapt` minus `uniform` with its standard error over
datasets and seeds. Change nothing between `dvc repro teacher` and here that teacher features depend on.
"""

import csv
import itertools
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from torch import Tensor
from tqdm import tqdm

from adapt import clip, methods, params, runs, tuning
from adapt.data import catalogue
from adapt.data.dataset import Item
from adapt.fit import fit

METHODS = ("uniform", "adapt")
TABLE = Path("reports/search.csv")
Job = tuple[params.Params, str, str, int]

base: dict[str, Any]
backbone: clip.Backbone
pixels: dict[str, dict[str, Tensor]]
splits: dict[str, tuple[Item, ...]]


def settings(grid: list[str]) -> list[dict[str, Any]]:
    """All combinations of `key=value,value` arguments."""
    axes = []
    for argument in grid:
        key, _, values = argument.partition("=")
        axes.append([(key, YAML(typ="safe").load(value)) for value in values.split(",")])
    return [dict(combination) for combination in itertools.product(*axes)]


def with_settings(changes: dict[str, Any]) -> params.Params:
    """params.yaml with some values changed, checked as any."""
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in changes.items():
        section, _, name = key.partition(".")
        values[section][name] = value
    return params.Params.model_validate(values)


def accuracy(job: Job) -> float:
    """Validation accuracy of one run."""
    torch.set_num_threads(1)
    settled, dataset, method, seed = job
    sections = {name: getattr(settled, name) for name in ("context", "prune", "distill", "optimiser", "views")}
    made = methods.build(method, tuning.make_task(backbone, dataset, seed), sections)
    optimiser = settled.optimiser.model_dump()
    batch = optimiser.pop("batch")
    fit(made, tuning.make_batches(backbone, dataset, seed, batch=batch, **settled.views.model_dump()), **optimiser)
    predicted = tuning.predict(made, backbone, [pixels[dataset][item.path] for item in splits[dataset]], 256)
    return runs.accuracy(predicted, list(splits[dataset]))


def main() -> None:
    global base, backbone, pixels, splits
    torch.set_num_threads(1)
    base = YAML(typ="safe").load(Path("params.yaml").read_text())
    plain = params.Params(**base)
    backbone = clip.load(plain.backbone.name, plain.backbone.pretrained, "cpu")
    splits = {name: catalogue.load(name).val for name in plain.datasets}
    pixels = {name: tuning.read_pixels(name, items, backbone.size) for name, items in splits.items()}
    runs_of_one = list(itertools.product(plain.datasets, plain.seeds))
    with ProcessPoolExecutor(plain.runtime.processes, mp_context=multiprocessing.get_context("fork")) as pool:
        for changes in tqdm(settings(sys.argv[1:]), unit="setting"):
            start, settled = time.perf_counter(), with_settings(changes)
            jobs = [(settled, dataset, method, seed) for method in METHODS for dataset, seed in runs_of_one]
            found = list(pool.map(accuracy, jobs))
            uniform, adapt = found[: len(runs_of_one)], found[len(runs_of_one) :]
            gains = [a - u for a, u in zip(adapt, uniform, strict=True)]
            by_dataset = {
                dataset: statistics.mean(a for a, (name, _) in zip(adapt, runs_of_one, strict=True) if name == dataset)
                for dataset in plain.datasets
            }
            row = {
                "settings": " ".join(f"{key}={value}" for key, value in changes.items()),
                "uniform": statistics.mean(uniform),
                "adapt": statistics.mean(adapt),
                "gain": statistics.mean(gains),
                "standard_error": statistics.stdev(gains) / len(gains) ** 0.5,
                **by_dataset,
            }
            rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
            TABLE.parent.mkdir(exist_ok=True)
            new = not TABLE.exists()
            with TABLE.open("a", newline="") as file:
                writer = csv.DictWriter(file, [*rounded, "seconds"], lineterminator="\n")
                if new:
                    writer.writeheader()
                writer.writerow(rounded | {"seconds": round(time.perf_counter() - start)})
            tqdm.write(str(rounded))


if __name__ == "__main__":
    main()
