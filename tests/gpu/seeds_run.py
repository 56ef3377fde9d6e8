"""Seeds side by side on the pretended GPU, forked as on a true one.

    python -m tests.gpu.seeds_run

Nothing is computed (see fakecuda.c), but CUDA starts as it does: a process that is forked after it cannot use the GPU.
"""

import json
import os

import torch

from adapt.clip.backbone import Backbone
from adapt.errors import UserError
from adapt.pipeline import seeds
from adapt.pipeline.params import load
from tests.conftest import small_clip
from tests.project import ROOT


def work(backbone: Backbone, seed: int) -> dict[str, object]:
    """Where a seed runs."""
    held = torch.cuda.memory_allocated()
    return {"seed": seed, "pid": os.getpid(), "device": str(backbone.device), "held": held}


def main() -> None:
    """See above."""
    runtime = load(ROOT / "params.yaml").runtime.model_copy(update={"device": "auto", "per_gpu": 2})
    try:
        found = seeds.for_each_seed(work, [3, 1], runtime, small_clip(), classes=10)
    except UserError as error:
        print(json.dumps({"refused": str(error)}))
        return
    print(json.dumps({"pid": os.getpid(), "started": torch.cuda.is_initialized(), "seeds": found}))


if __name__ == "__main__":
    main()
