"""Save a checkpoint with a tensor of the pretended GPU.

python -m tests.gpu.checkpoint_run FOLDER
"""

import json
import sys
from pathlib import Path

import torch

from adapt.runtime.checkpoint import Checkpoint
from tests.gpu.pretend import Pretend


def main() -> None:
    """See above."""
    with Pretend():
        store = Checkpoint(Path(sys.argv[1]) / "run", "f" * 64, 0.0)
        store.save({"x": torch.ones(3, device="cuda")})
        store.close()
    print(json.dumps({"path": str(store.path)}))


if __name__ == "__main__":
    main()
