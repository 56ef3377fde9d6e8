"""One `dvc repro`, watched line by line, and killed if that was wanted."""

import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.project import environment

VICTIMS = ("all", "dvc", "stage", "seed")


@dataclass
class Kill:
    """When to kill, `after` seconds from the start or from that of a stage, and whom."""

    stage: str | None
    after: float
    victim: str


@dataclass
class Run:
    """What became of it: seconds of each stage that ended, the stage that was killed, all that was said."""

    status: int
    seconds: dict[str, float] = field(default_factory=dict)
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
    run, stage, since = Run(0), "start", time.monotonic()
    deadline = since + kill.after if kill and kill.stage is None else None
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()) if deadline else None)
        except queue.Empty:
            assert kill
            run.killed, run.victim, deadline = stage, strike(process.pid, kill.victim, rng or random.Random()), None
            if run.victim == "dvc":  # its stage still runs
                break
            continue
        if line is None:
            break
        run.said += line
        if line.startswith("Running stage '"):
            stage, since = line.split("'")[1], time.monotonic()
            if kill and kill.stage == stage:
                deadline = since + kill.after
        elif line.startswith("Updating lock file") and not run.killed:
            run.seconds[stage] = time.monotonic() - since
    run.status = process.wait()
    return run


def strike(pid: int, victim: str, rng: random.Random) -> str:
    """SIGKILL to all, to DVC alone, to the stage or to a process of the stage; returns who it was."""
    below = [psutil.Process(pid).children(), psutil.Process(pid).children(recursive=True)]
    forks = [process for process in below[1] if process not in below[0]]
    if victim == "all" or (victim != "dvc" and not below[0]):
        os.killpg(pid, signal.SIGKILL)
        return "all"
    chosen = psutil.Process(pid) if victim == "dvc" else rng.choice(forks if victim == "seed" and forks else below[0])
    chosen.send_signal(signal.SIGKILL)
    return victim if victim != "seed" or forks else "stage"
