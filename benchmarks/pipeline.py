"""The time of a pocket `dvc repro` by part, in a fresh checkout without caches.

    python -m benchmarks.pipeline [override of the params ...]

The time of a stage is from DVC's "Running stage" to the last line of the stage; the rest of the whole is DVC's own.
`tuning` is the part of the stages `train` that their runs report as tuning: the seconds of all seeds, divided by the
number of seeds that run side by side.
`nothing to do, CPU` is the processor time, of all processes together, of a `dvc repro` right after the first one.
`start` is a stage that is called without its arguments, so that it imports, reads the params and refuses: cold, and
warm as under DVC (adapt/runtime/fork_server.py).
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from adapt.pipeline import params, stage
from benchmarks import rig
from tests.faults.pipeline import repro
from tests.project import checkout, environment


def starts(folder: Path) -> dict[str, float]:
    """Return the seconds until a stage does its first work, cold and warm."""

    def call(module: str, *arguments: str, **variables: str) -> None:
        command = [sys.executable, "-m", f"stages.{module}", *arguments]
        subprocess.run(command, cwd=folder, env={**environment(), **variables}, capture_output=True)

    under_dvc = {"DVC_STAGE": "train"}
    cold = rig.median(lambda: call("train"), 3)
    call("configure", **under_dvc)  # starts the fork server
    return {"start, cold": cold, "start, warm": rig.median(lambda: call("train", **under_dvc), 3)}


def nothing_to_do(folder: Path) -> float:
    """Return the processor seconds of a `dvc repro` that has nothing to run."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    taken = []
    for _ in range(3):
        before = used()
        said = subprocess.run(
            ["dvc", "repro"], cwd=folder, env=environment(), check=True, capture_output=True, text=True
        )
        taken.append(used() - before)
        assert said.stdout.count("Running stage") == said.stdout.count("Running stage 'inputs'") == 1, said.stdout
    return statistics.median(taken)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pipeline-") as home:
        folder = checkout(Path(home))
        if sys.argv[1:]:
            command = [sys.executable, "-m", "stages.compose", *sys.argv[1:]]
            subprocess.run(command, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)
        runs: list[Any] = []
        whole = rig.seconds(lambda: runs.append(repro(folder)))
        (run,) = runs
        assert run.status == 0, run.said[-2000:]
        assert set(run.own) == set(run.seconds), set(run.seconds) - set(run.own)
        kinds = Counter[str]()
        for name, taken in run.own.items():
            kinds[name.split("@")[0]] += taken
        costs = [
            json.loads(path.read_text(encoding="utf-8"))["seconds"]
            for path in folder.glob("data/tuned/*/*/*/cost.json")
        ]
        rows = [{"part": "whole", "seconds": whole, "stages": len(run.own)}]
        rows += [{"part": kind, "seconds": taken} for kind, taken in kinds.items()]
        given = params.load(folder / stage.PARAMS)
        rows.append(
            {"part": "tuning, of train", "seconds": sum(costs) / min(given.runtime.parallel_seeds, len(given.seeds))}
        )
        rows.append({"part": "DVC's own", "seconds": whole - sum(run.own.values())})
        rows.append({"part": "nothing to do, CPU", "seconds": nothing_to_do(folder)})
        rows += [{"part": part, "seconds": taken} for part, taken in starts(folder).items()]
    rows = [{**row, "seconds": round(row["seconds"], 2)} for row in rows]
    for row in rows:
        print(row)
    if not sys.argv[1:]:
        rig.record("pipeline", rows)


if __name__ == "__main__":
    main()
