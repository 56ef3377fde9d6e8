"""A grid search over settings, by accuracy on whole validation splits.

    dvc repro teacher && python -m benchmarks.search uniform,adapt optimizer.lr=0.005,0.01 prompts.initial_length=4,8
    python -m benchmarks.search coop method.coop.optimizer.lr=0.002,0.02

The methods named first are tuned with every combination on every dataset and seed of params.yaml. Each combination adds
a row to reports/search/<methods>.csv: the settings, the mean accuracy by method and, for two methods, the second minus
the first with its standard error over datasets and seeds. The test split is not read. Between `dvc repro teacher` and
the search, change no setting that teacher features depend on.
"""

import csv
import itertools
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from adapt.clip import backbone as clip
from adapt.data import catalog
from adapt.data.dataset import Sample
from adapt.pipeline import image_cache, method_configs, params, train
from adapt.runtime import workers, yaml
from adapt.settings import resolution
from adapt.training import fit, metrics, predict

ROOT = Path("reports/search")
Job = tuple[params.Params, str, str, int]

base: dict[str, Any]
backbone: clip.Backbone
pixels: dict[str, image_cache.ImageCache]
splits: dict[str, tuple[Sample, ...]]


def combinations(grid: list[str]) -> list[dict[str, Any]]:
    """Return all combinations of `key=value,value` arguments."""
    axes = []
    for argument in grid:
        key, _, values = argument.partition("=")
        axes.append([(key, yaml.parse(value)) for value in values.split(",")])
    return [dict(combination) for combination in itertools.product(*axes)]


def with_settings(changes: dict[str, Any]) -> params.Params:
    """Return params.yaml with some values changed, validated as usual."""
    values = base
    for key, value in changes.items():
        for name in reversed(key.split(".")):
            value = {name: value}
        values = resolution.merge(values, value)
    return params.Params.model_validate(values)


def accuracy(job: Job) -> float:
    """Return the validation accuracy of one run."""
    torch.set_num_threads(1)
    changed, dataset, method, seed = job
    config = method_configs.of_params(changed, method, dataset)
    optimizer = getattr(config, "optimizer", None)
    task = train.read_task(backbone, dataset, seed)
    loaders = train.read_loaders(backbone, dataset, seed, optimizer, changed.augment)
    tensors = fit.fit(method, task, loaders, config, shots=changed.shots).tensors
    images = pixels[dataset].select(sample.path for sample in splits[dataset])
    predicted, _ = predict.score(method, task, config, tensors, images, batch_size=256)
    return metrics.accuracy(predicted, [sample.label for sample in splits[dataset]])


def main() -> None:
    global base, backbone, pixels, splits
    torch.set_num_threads(1)
    base = yaml.parse(Path("params.yaml").read_text(encoding="utf-8"))
    plain = params.Params(**base)
    backbone = clip.load(plain.backbone.name, plain.backbone.pretrained, "cpu")
    sources = {name: catalog.load(name, plain.data.folder) for name in plain.datasets}
    splits = {name: source.val for name, source in sources.items()}
    paths = {name: [item.path for item in items] for name, items in splits.items()}
    pixels = {name: image_cache.decode(source, paths[name], backbone.image_size) for name, source in sources.items()}
    runs_of_one = list(itertools.product(plain.datasets, plain.seeds))
    names, grid = sys.argv[1].split(","), sys.argv[2:]
    table = ROOT / f"{'-'.join(names)}.csv"
    for changes in tqdm(combinations(grid), unit="setting"):
        start, changed = time.perf_counter(), with_settings(changes)
        jobs = [(changed, dataset, method, seed) for method in names for dataset, seed in runs_of_one]
        found = list(
            workers.run(accuracy, jobs, processes=plain.runtime.parallel_seeds, setting="runtime.parallel_seeds")
        )
        shares = {name: found[i * len(runs_of_one) : (i + 1) * len(runs_of_one)] for i, name in enumerate(names)}
        row: dict[str, Any] = {"settings": " ".join(f"{key}={json.dumps(value)}" for key, value in changes.items())}
        row |= {name: statistics.mean(share) for name, share in shares.items()}
        if len(names) == 2:
            gains = [b - a for a, b in zip(*shares.values(), strict=True)]
            row |= {"gain": statistics.mean(gains), "standard_error": statistics.stdev(gains) / len(gains) ** 0.5}
        last = list(zip(shares[names[-1]], runs_of_one, strict=True))
        row |= {
            dataset: statistics.mean(share for share, (name, _) in last if name == dataset)
            for dataset in plain.datasets
        }
        write(table, row, round(time.perf_counter() - start))


def write(table: Path, row: dict[str, Any], seconds: int | None) -> None:
    """Append a row to a table."""
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
    table.parent.mkdir(parents=True, exist_ok=True)
    new = not table.exists()
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rounded, "seconds"], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(rounded | {"seconds": seconds})
    tqdm.write(str(rounded))


if __name__ == "__main__":
    main()
