"""Stages on a pretended GPU, with the pocket CLIP.

Its weights are loaded onto the GPU, and results are written from it.
"""

import subprocess
import sys

import pytest

from tests.project import checkout, environment

METHODS = ["zero_shot", "linear_probe", "adapt", "clip_lora"]
SMALL = [
    "datasets=[digits]", f"methods=[{','.join(METHODS)}]", "seeds=[1]", "shots=4", "teacher.views=2",
    "optimizer.epochs=3", "prune.warmup=1", "prune.count=16", "prune.target=10",
    "method.clip_lora.optimizer.n_iters_per_shot=5",
]  # fmt: skip


@pytest.fixture(scope="module")
def project(libraries, tmp_path_factory):
    """A checkout with the params of a small setting."""
    folder = checkout(tmp_path_factory.mktemp("stages"))
    command = [sys.executable, "-m", "stages.compose", *SMALL]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_stages_score_on_a_gpu_as_on_a_cpu(method, project, program):
    """Within two images; crops that are rounded otherwise may turn one."""
    lines = program("stages_run", "digits", ",".join(METHODS), cwd=project)
    line = next(line for line in lines if line["method"] == method)
    assert line["waits"] > 0, "it did run there"
    assert line["gpu"] == pytest.approx(line["cpu"], abs=2 / line["images"])
