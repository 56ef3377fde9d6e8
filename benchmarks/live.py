"""The cost of watching a run: DVCLive's writing, as a share of a fit, and import.

    python -m benchmarks.live

The fit is one of `adapt` with the pocket preset on `digits`. Every call of the writer is timed, including the first
one, which makes the folder. The import is timed in a process that has torch already, as in a stage that starts cold; a
stage that starts warm has DVCLive imported already. One thread, as in the pipeline.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import adapt
from adapt.pipeline import live
from adapt.runtime import malloc
from benchmarks import rig

FITS, IMPORTS = 3, 5
IMPORT = """
import time, torch, open_clip
start = time.perf_counter()
import dvclive
print(time.perf_counter() - start)
"""


def writing() -> dict[str, Any]:
    """Return the milliseconds that an epoch takes, and those of writing it."""
    clip, data = adapt.load_clip("pocket"), adapt.load_dataset("digits").few_shot(shots=16, seed=1)
    features = adapt.teacher_features(clip, data, progress=False)
    import dvclive  # noqa: F401  # the import is measured separately

    shares, epochs, written = [], [], []
    for _ in range(FITS):
        taken: list[float] = []
        with tempfile.TemporaryDirectory() as folder:
            write = live.writer(Path(folder, "seed_1"))

            def timed(row: Any, write: Any = write, taken: list[float] = taken) -> None:
                taken.append(rig.seconds(lambda: write(row)))

            start = time.perf_counter()
            adapt.fit("adapt", clip, data, features=features, progress=False, on_epoch=timed)
            whole = time.perf_counter() - start - sum(taken)
        shares.append(sum(taken) / whole)
        epochs.append(1000 * whole / len(taken))
        written.append(1000 * sum(taken) / len(taken))
    epoch, told = statistics.median(epochs), statistics.median(written)
    share = 100 * statistics.median(shares)
    return {"what": "writing", "epoch_ms": round(epoch, 1), "written_ms": round(told, 2), "percent": round(share, 2)}


def importing() -> dict[str, Any]:
    """Return the seconds that importing DVCLive takes, with torch imported already."""
    command = [sys.executable, "-c", IMPORT]
    taken = [float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(IMPORTS)]
    return {"what": "import", "seconds": round(statistics.median(taken), 2)}


def main() -> None:
    torch.set_num_threads(1)
    malloc.keep_freed_pages()
    rows = [writing(), importing()]
    print(*rows, sep="\n")
    rig.record("live", rows)


if __name__ == "__main__":
    main()
