"""Runs with made-up numbers, in the files that `evaluate` writes.

The tests of the report use them.
"""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adapt.pipeline import study
from adapt.report import load

ASKED: dict[str, Any] = {
    "datasets": ["digits", "phosphor"],
    "methods": ["zero_shot", "uniform", "adapt"],
    "seeds": [1, 2, 3],
    "preset": "pocket",
    "backbone": "pocket",
    "shots": 16,
    "split": "test",
}
EPOCHS, START, CLASSES = 6, 4, 5


def write_run(folder: Path, layers: int = 6, **made: Any) -> None:
    """A run as `evaluate` leaves it, of made-up numbers that depend on its names only."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([ord(letter) for letter in f"{made['dataset']}{made['method']}{made['seed']}"])
    places = pd.DataFrame(product(["text", "image"], range(layers)), columns=["branch", "layer"])
    steps = 60 + 5 * len(made["dataset"])
    tokens, pruned, trained = 2 * layers, made["method"] == "adapt", made["method"] != "zero_shot"
    start = START if pruned else 1 if trained else 0
    trace = places.loc[places.index.repeat(start)].sample(frac=1, random_state=rng) if pruned else places[:0]
    trace = trace.iloc[: len(trace) - tokens].assign(token=0, score=0.1)
    trace.insert(0, "step", 20 + 2 * np.arange(len(trace)) // 2)
    trace.insert(1, "epoch", trace["step"] // 10)
    trace.insert(2, "tokens_left", start * len(places) - 1 - np.arange(len(trace)))
    removed = trace.groupby(["branch", "layer"]).size().reindex(pd.MultiIndex.from_frame(places), fill_value=0)
    places.assign(length=start - removed.to_numpy()).to_csv(folder / "lengths.csv", index=False)
    trace.to_csv(folder / "trace.csv", index=False)
    epochs = np.arange(EPOCHS if trained else 0)
    loss = (1.5 + rng.random()) * np.exp(-epochs / 2) + 0.2 * rng.random(len(epochs))
    pd.DataFrame({
        "epoch": epochs, "lr": 0.01, "loss": loss, "cross_entropy": 0.8 * loss, "distill_text": 0.0,
        "distill_image": 0.0, "tokens": start * 2 * layers,
    }).to_csv(folder / "history.csv", index=False)  # fmt: skip
    accuracy = {"zero_shot": 0.4, "uniform": 0.7, "adapt": 0.72}.get(made["method"], 0.6) + 0.1 * rng.random() * trained
    metrics = {**made, "weights": "0123456789abcdef" * 4, "accuracy": accuracy, "images": 500, "trainable": 0}
    (folder / "metrics.json").write_text(json.dumps({**metrics, "tokens": tokens * trained}), encoding="utf-8")
    cost = {"seconds": 1.0 + rng.random(), "steps": steps * trained}
    cost |= {"step_gflop": 42.0 + made["seed"]} if trained else {}
    (folder / "cost.json").write_text(json.dumps(cost), encoding="utf-8")
    labels = np.repeat(np.arange(CLASSES), 20)
    right = rng.random(len(labels)) < accuracy
    guesses = np.where(right, labels, rng.integers(0, CLASSES, len(labels)))
    table = pd.DataFrame({"path": [f"i/{at}" for at in range(len(labels))], "label": labels, "prediction": guesses})
    table.to_csv(folder / "predictions.csv", index=False)


def write_runs(root: Path, layers: int = 6, **changed: Any) -> dict[str, Any]:
    """All the runs that are asked for; returns what to ask."""
    asked = {**ASKED, **changed}
    made = {name: asked[name] for name in ("preset", "backbone", "shots", "split")}
    for dataset, method, seed in product(asked["datasets"], asked["methods"], asked["seeds"]):
        folder = root / dataset / method / f"seed_{seed}"
        write_run(folder, layers, dataset=dataset, method=method, seed=seed, **made)
    return asked


def read(root: Path, **changed: Any) -> load.Runs:
    return load.read(root, **write_runs(root, **changed))


def edit_json(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changed}), encoding="utf-8")


def edit_csv(path: Path, row: int, column: str, value: Any) -> None:
    table = pd.read_csv(path).astype({column: object})
    table.loc[row, column] = value
    table.to_csv(path, index=False)


def write_study(folder: Path, name: str, methods: list[str] | None = None, **changed: Any) -> pd.DataFrame:
    """Write a gathered study with made-up numbers for the declared grid.

    The files are those of `python -m stages.study`.
    """
    declared = study.load()[name]
    asked, rng = {**ASKED, **changed}, np.random.default_rng(len(name))
    points = declared.points("pocket")
    chosen = methods or declared.methods or asked["methods"]
    rows = [
        {
            "experiment": f"{name}-{at}", **point, "dataset": dataset, "method": method, "seed": seed,
            "accuracy": 0.5 + 0.03 * at + 0.02 * place + 0.02 * rng.random(), "tokens": 18,
            "trainable": 100, "seconds": 10.0, "step_ms": 60 + 3 * at + rng.random(), "memory_mb": 500.0, "budget": 18,
        }
        for at, point in enumerate(points)
        for dataset in asked["datasets"]
        for place, method in enumerate(chosen)
        for seed in asked["seeds"]
    ]  # fmt: skip
    made = {"preset": "pocket", "backbone": "pocket", "weights": "0123456789", "split": "test", "rev": "a" * 40}
    made |= {"command": "dvc exp run", "seconds": 60.0, "state": "finished"}
    entries = [{"name": f"{name}-{at}", **made} for at in range(len(points))]
    own = points[min(2, len(points) - 1)]
    record = {"study": name, "command": f"python -m stages.study {name}", "commit": "c" * 40, "own": own}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({**record, "experiments": entries}), encoding="utf-8")
    table = pd.DataFrame(rows)
    table.to_csv(folder / f"{name}.csv", index=False)
    return table
