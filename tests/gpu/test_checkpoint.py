"""Checkpoints between a GPU, pretended, and a machine without one."""

import pytest
import torch

from adapt.runtime.checkpoint import Checkpoint


@pytest.mark.xfail(not torch.cuda.is_available(), strict=True, reason="torch.load is not told where tensors go")
def test_run_that_began_on_a_gpu_goes_on_without_one(program, tmp_path):
    program("checkpoint_run", str(tmp_path))
    store = Checkpoint(tmp_path / "run", "f" * 64, 0.0)
    state = store.load()
    store.close()
    assert state and state["x"].tolist() == [1, 1, 1]
