"""Functions of the encoders compiled by torch.compile, where a run asks for it: fewer kernels for a GPU to be told of.

Weights are arguments of a compiled graph, so that one does for all layers that look alike: the first, those between
and the last of a tower. So are the lengths of prompts: pruning compiles anew only where a layer has one token left, or
none.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

MAX_GRAPHS = 64  # of one function; torch runs further ones uncompiled
OPTIONS: dict[str, Any] = {"combo_kernels": True}  # what does not depend on each other goes into one kernel

Sizes = Sequence[tuple[Tensor, int]]  # tensors, each with a dimension


@runtime_checkable
class Run(Protocol):
    """What calls a function."""

    def __call__(self, function: Callable[..., Any], *arguments: Any, varying: Sizes = ()) -> Any:
        """The function of the arguments; varying: what of them has another size at other calls."""
        ...


def as_it_is(function: Callable[..., Any], *arguments: Any, varying: Sizes = ()) -> Any:
    """The function as it is written."""
    return function(*arguments)


def compiled(function: Callable[..., Any], *arguments: Any, varying: Sizes = ()) -> Any:
    """The function, compiled where gradients are asked for; scoring keeps a GPU busy anyway and takes it as it is."""
    if not torch.is_grad_enabled():
        return function(*arguments)
    for tensor, dimension in varying:
        torch._dynamo.maybe_mark_dynamic(tensor, dimension % tensor.ndim)
    return compile_once(function)(*arguments)


@cache
def compile_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled function; what fails to be compiled runs as it is written, and torch says so."""
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MAX_GRAPHS)
    torch._dynamo.config.suppress_errors = True
    return torch.compile(function, options=OPTIONS)


@cache
def why_not(device: torch.device) -> str | None:
    """The reason why nothing can be compiled for a device here, such as a missing C compiler; None where it can."""
    x = torch.ones(8, device=device, requires_grad=True)
    try:
        torch.compile(lambda x: x.sin() + 1)(x).sum().backward()
    except Exception as error:  # whatever a compiler may raise
        return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
    return None
