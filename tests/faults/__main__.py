"""The command: see the package."""

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.pipeline import VICTIMS, Kill, Run, repro
from tests.project import checkout, environment

SMALL = [
    "datasets=[digits,phosphor]", "methods=[zero_shot,coop,promptsrc,adapt]", "seeds=[1,2]", "shots=4",
    "optimizer.epochs=4", "prune.warmup=1", "prune.every=2", "prune.count=3", "teacher.views=2",
    "method.coop.optimizer.epochs=3", "method.promptsrc.optimizer.epochs=3",
    "runtime.checkpoint_seconds=0.1", "runtime.parallel_seeds=2",
]  # fmt: skip
RESULTS = ("data", "runs", "reports")
KINDS = ("code", "configure", "inputs", "sample", "pack", "teacher", "train", "evaluate", "report")
PER_ROUND = 4  # deaths of one pipeline: more of them would all meet its last stages
TIMED = ("cost.json", "cost.csv", "cost.md", "cost.tex", "index.html")  # seconds and memory, and what shows them


def main(deaths: int, seed: int, overrides: list[str]) -> int:
    """Exit status 0 where nothing differs and nothing is left."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="faults-") as home:
        usual = repro(start(Path(home) / "usual", overrides))
        assert usual.status == 0, usual.said
        expected = results(Path(home) / "usual")
        total = sum(usual.seconds.values())
        print(f"undisturbed: {len(usual.seconds)} stages in {total:.0f} s, {len(expected)} files", flush=True)
        killed: list[Run] = []
        problems: list[str] = []
        round_number = 0
        while len(killed) < deaths:
            round_number += 1
            folder = start(Path(home) / f"round_{round_number}", overrides)
            disturb(folder, usual, min(PER_ROUND, deaths - len(killed)), rng, killed, problems)
            problems += compare(expected, results(folder), folder)
            problems += compare(untimed(Path(home) / "usual"), untimed(folder), folder)
            shutil.rmtree(folder)
    for title, found in (("stage", (run.killed for run in killed)), ("victim", (run.victim for run in killed))):
        print(f"deaths by {title}:", dict(sorted(Counter(str(name).split("@")[0] for name in found).items())))
    print(f"{len(killed)} deaths in {round_number} rounds; {len(problems)} problems")
    for problem in problems:
        print(f"  {problem}")
    return int(bool(problems))


def start(folder: Path, overrides: list[str]) -> Path:
    """A fresh checkout with the params."""
    folder.mkdir()
    checkout(folder)
    command = [sys.executable, "-m", "stages.compose", *SMALL, *overrides]
    subprocess.run(command, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return folder


def disturb(folder: Path, usual: Run, most: int, rng: random.Random, killed: list[Run], problems: list[str]) -> None:
    """Run the pipeline until it ends, killing it at most `most` times.

    The runs that died are added to `killed`.
    """
    before, left = len(killed), dict(usual.seconds)
    while True:
        dead = Counter(str(run.killed).split("@")[0] for run in killed)
        kill = choose(left, dead, rng) if len(killed) - before < most and left else None
        run = repro(folder, kill, rng)
        for name in run.seconds:
            left.pop(name, None)
        if run.killed and run.status:  # the pipeline survives the death of the fork server
            killed.append(run)
            print(f"  {time.strftime('%X')} death in {run.killed} of {run.victim}", flush=True)
        elif run.status == 0:
            return
        else:
            problems.append(f"after {len(killed) - before} deaths it failed by itself: {run.said[-600:]}")
            if len(problems) > 5:
                return


def choose(left: dict[str, float], dead: Counter[str], rng: random.Random) -> Kill:
    """Choose when to kill which process.

    In turn, it is a moment in a stage of the kind that has died least (the first of these kinds), or one in all the
    time left. In the former case the victim is never only `fork`, a process behind the stage: the pipeline often
    survives that, and the kind would have used up its turn.
    """
    if dead.total() % 2:
        return Kill(None, rng.uniform(0, sum(left.values())), rng.choice(VICTIMS))
    kinds = [kind for kind in KINDS if any(name.split("@")[0] == kind for name in left)]
    kind = min(kinds, key=lambda kind: dead[kind])
    stage = rng.choice([name for name in left if name.split("@")[0] == kind])
    return Kill(stage, rng.uniform(0, left[stage]), rng.choice([who for who in VICTIMS if who != "fork"]))


def untimed(folder: Path) -> dict[str, bytes]:
    """Return the report's files, made from the runs with equal times and memory."""
    for path in (folder / "runs").rglob("cost.json"):
        path.write_text(
            json.dumps({**json.loads(path.read_text(encoding="utf-8")), "seconds": 1.0, "memory_mb": 1.0}),
            encoding="utf-8",
        )
    command = [sys.executable, "-m", "stages.report"]
    subprocess.run(command, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return {name: content for name, content in everything(folder).items() if name.startswith("reports/")}


def results(folder: Path) -> dict[str, bytes]:
    """All files that the pipeline makes, but for those with times."""
    return {name: content for name, content in everything(folder).items() if Path(name).name not in TIMED}


def everything(folder: Path) -> dict[str, bytes]:
    """All files that the pipeline makes."""
    files = (path for root in RESULTS for path in (folder / root).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def compare(expected: dict[str, bytes], found: dict[str, bytes], folder: Path) -> list[str]:
    """Return which files differ or are missing, and which temporary ones are left."""
    names = sorted(expected.keys() | found.keys())
    differ = [f"{name} differs" for name in names if expected.get(name) != found.get(name)]
    left = [path for path in folder.rglob("*.partial") if ".dvc" not in path.parts]
    left += [path for path in (folder / ".scratch").rglob("*") if path.is_file()]
    return differ + [f"left behind: {path.relative_to(folder)}" for path in left]


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all(word.isdecimal() for word in sys.argv[1:3]):
        sys.exit("usage: python -m tests.faults N SEED [override ...]")
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
