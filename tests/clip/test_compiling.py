"""Compiled blocks give the same results as others.

Where blocks cannot be compiled, a message gives the reason.
"""

import shutil
from dataclasses import replace

import pytest
import torch

from adapt.clip import compiling
from tests.methods.test_methods import build

CPU = torch.device("cpu")


def results(name: str, task, batches) -> list[torch.Tensor]:
    """Return loss and gradients of a method, also after pruning a token if it prunes."""
    method, found = build(name, task), []
    for pruned in (False, True):
        if pruned and hasattr(method, "prune"):
            method.prune(1, torch.optim.SGD(method.parameters(), lr=0.0))
        method.zero_grad()
        loss = method.losses(batches.batch(0, 0))[0]
        loss.backward()
        found += [loss.detach(), *(parameter.grad.clone() for parameter in method.parameters())]
    return found


@pytest.mark.thorough
@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")
@pytest.mark.parametrize("name", ["adapt", "coop", "promptsrc"])
def test_compiled_blocks_give_what_blocks_as_they_are_give(name, task, batches):
    compiled = replace(task, backbone=replace(task.backbone, compile=True))
    for one, other in zip(results(name, task, batches), results(name, compiled, batches), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_nothing_is_compiled_where_no_gradient_is_asked_for(monkeypatch):
    monkeypatch.setattr(compiling, "compile_once", pytest.fail)
    with torch.no_grad():
        assert compiling.compiled(torch.sin, torch.zeros(2)).tolist() == [0, 0]


def test_the_reason_why_nothing_can_be_compiled_is_one_line(monkeypatch):
    def fail(function):
        raise RuntimeError("\nFailed to find C compiler.\nPlease specify via CC environment variable.")

    monkeypatch.setattr(torch, "compile", fail)
    assert compiling.why_not.__wrapped__(CPU) == "Failed to find C compiler."
