"""Checkpoints between a GPU, pretended, and a machine without one."""

from adapt.runtime.checkpoint import Checkpoint


def test_run_that_began_on_a_gpu_goes_on_without_one(program, tmp_path):
    program("checkpoint_run", str(tmp_path))
    store = Checkpoint(tmp_path / "run", "f" * 64, 0.0)
    state = store.load()
    store.close()
    assert state and state["x"].tolist() == [1, 1, 1]
