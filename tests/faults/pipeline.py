"""One `dvc repro`, watched line by line, and killed if that was wanted."""

import queue
import random
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.project import environment

PROGRESS = re.compile(r"\x1b\[\w")  # moves the cursor between progress bars; stands before what is said next
START = "start"  # what DVC does before the first stage
VICTIMS = ("all", "dvc", "stage", "fork")


@dataclass
class Kill:
    """When to kill, `after` seconds from the start or from that of a stage, and whom."""

    stage: str | None
    after: float
    victim: str


@dataclass
class Run:
    """What became of it.

    seconds: of each stage that ended, until the next one began; DVC's work for it included.
    own: of each stage, until the last line with its name: all stages end with one.
    """

    status: int
    seconds: dict[str, float] = field(default_factory=dict)
    own: dict[str, float] = field(default_factory=dict)
    killed: str | None = None
    victim: str = ""
    said: str = ""


def repro(folder: Path, kill: Kill | None = None, rng: random.Random | None = None) -> Run:
    """What `make repro` does, with a death in it."""
    subprocess.run([sys.executable, "-m", "stages.mend"], cwd=folder, env=environment(), check=True)
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=folder, env=environment(), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    run, stage, since = Run(0), START, time.monotonic()
    deadline = since + kill.after if kill and kill.stage is None else None
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()) if deadline else None)
        except queue.Empty:
            assert kill
            run.killed, deadline = stage, None
            run.victim = strike(process.pid, kill.victim, rng or random.Random(), folder.resolve())
            if run.victim == "dvc":  # its stage still runs
                break
            continue
        now = time.monotonic()
        if (line is None or line.startswith("Running stage '")) and not run.killed and stage != START:
            run.seconds[stage] = now - since
        if line is None:
            break
        run.said += line
        if line.startswith("Running stage '"):
            stage, since = line.split("'")[1], now
            if kill and kill.stage == stage:
                deadline = since + kill.after
        elif stage != START and re.search(rf"\b{stage.split('@')[0]}[: ]", PROGRESS.sub("", line)):
            run.own[stage] = now - since
    run.status = process.wait()
    if run.status:
        run.seconds.pop(stage, None)
    return run


def strike(pid: int, victim: str, rng: random.Random, folder: Path) -> str:
    """Send SIGKILL to all processes, to DVC, to the stage's one or to one behind it.

    Processes behind a stage are the fork server, a worker or a seed. Returns the victim.
    """
    stages = psutil.Process(pid).children()
    behind = [process for process in at_work_in(folder) if process.pid != pid and process not in stages]
    if victim == "dvc":
        chosen = [psutil.Process(pid)]
    elif victim == "stage" and stages:
        chosen = stages[:1]
    elif victim == "fork" and behind:
        chosen = [rng.choice(behind)]
    else:
        victim, chosen = "all", [psutil.Process(pid), *stages, *behind]
    for process in chosen:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return victim


def at_work_in(folder: Path) -> list[psutil.Process]:
    """All processes whose working directory it is."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder):
                found.append(process)
    return found
