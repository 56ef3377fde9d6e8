"""Run stages on the CPU and on the pretended GPU; print a line of JSON per method.

    python -m tests.gpu.stages_run DATASET METHODS

The working directory is a checkout in which `sample` has run.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

from adapt.pipeline import stage
from stages import code, configure, evaluate, inputs, pack, sample, teacher, train
from tests.gpu import pretend


def set_device(device: str) -> None:
    """Write it into params.yaml, and divide the params."""
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    params["runtime"]["device"] = device
    yaml.dump(params, Path("params.yaml"))
    stage.run_exclusive(configure.main, [])


def accuracies(dataset: str, methods: list[str]) -> Iterator[list[float]]:
    """Of every seed, by method; from teacher to evaluate."""
    stage.run_exclusive(teacher.main, [f"dataset={dataset}"])
    for method in methods:
        for module in (train, evaluate):
            stage.run_exclusive(module.main, [f"dataset={dataset}", f"method={method}"])
        found = sorted(Path("runs", dataset, method).glob("seed_*/metrics.json"))
        yield [json.loads(path.read_text(encoding="utf-8"))["accuracy"] for path in found]


def main() -> None:
    """See above."""
    dataset, names = sys.argv[1], sys.argv[2].split(",")
    set_device("cpu")
    for module in (code, inputs):
        stage.run_exclusive(module.main, [])
    for module in (sample, pack):
        stage.run_exclusive(module.main, [f"dataset={dataset}"])
    expected = list(accuracies(dataset, names))
    set_device("auto")
    with pretend.Pretend():
        found = list(accuracies(dataset, names))
    images = len(Path("data/pack", dataset, "paths.csv").read_text(encoding="utf-8").splitlines()) - 1
    for name, one, other in zip(names, found, expected, strict=True):
        line = {"method": name, "images": images, "gpu": one, "cpu": other, "waits": len(pretend.waits)}
        print(json.dumps(line))


if __name__ == "__main__":
    main()
