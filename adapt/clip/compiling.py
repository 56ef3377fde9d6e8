"""torch.compile for the functions of the encoders: fewer kernel launches on a GPU.

A run has to ask for it. Weights are arguments of a compiled graph, so that one graph serves all layers of a tower that
look alike: the first, the middle ones, and the last. Prompt lengths are arguments too, so that pruning recompiles only
if a layer has one token left, or none.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

MAX_GRAPHS = 64  # per function; torch runs any further variants uncompiled
OPTIONS: dict[str, Any] = {"combo_kernels": True}  # independent operations share a kernel

Sizes = Sequence[tuple[Tensor, int]]  # tensors, each with a dimension


@runtime_checkable
class Run(Protocol):
    """A way to call a function: uncompiled or compiled."""

    def __call__(self, function: Callable[..., Any], *arguments: Any, varying: Sizes = ()) -> Any:
        """Call the function; `varying`: the dimensions whose size differs between calls."""
        ...


def as_it_is(function: Callable[..., Any], *arguments: Any, varying: Sizes = ()) -> Any:
    """Call the function uncompiled."""
    return function(*arguments)


def compiled(function: Callable[..., Any], *arguments: Any, varying: Sizes = ()) -> Any:
    """Call the function, compiled if gradients are needed.

    Scoring keeps a GPU busy anyway, so it runs uncompiled.
    """
    if not torch.is_grad_enabled():
        return function(*arguments)
    for tensor, dimension in varying:
        torch._dynamo.maybe_mark_dynamic(tensor, dimension % tensor.ndim)
    return compile_once(function)(*arguments)


@cache
def compile_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the compiled function.

    If compilation fails, it runs uncompiled and torch says so.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MAX_GRAPHS)
    torch._dynamo.config.suppress_errors = True
    return torch.compile(function, options=OPTIONS)


@cache
def why_not(device: torch.device) -> str | None:
    """Return why torch.compile fails for a device, such as a missing C compiler.

    None if it works.
    """
    x = torch.ones(8, device=device, requires_grad=True)
    try:
        torch.compile(lambda x: x.sin() + 1)(x).sum().backward()
    except Exception as error:  # whatever a compiler may raise
        return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
    return None
