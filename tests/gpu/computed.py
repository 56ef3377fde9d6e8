"""The only computation where no kernels run: token counts, positions and masks.

Shapes depend on them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Computed(TorchDispatchMode):
    """Computes operations on integers, truth values or no tensors on the CPU.

    The results are put on the device where they belong.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x.is_cuda]
        attends = "scaled_dot_product" in func.__name__  # its seed is a whole number
        empty = func.__name__.startswith("empty")
        if func.is_view or attends or empty or (given and all(x.is_floating_point() for x in given)):
            return func(*args, **kwargs)
        device = kwargs.get("device") or (CUDA if given else CPU)
        here = {**kwargs, "device": CPU} if "device" in kwargs else kwargs
        inner, here = tree_map(lambda x: fetched(x) if isinstance(x, Tensor) else x, (args, here))
        found = func(*inner, **here)
        if func._schema.is_mutable and given:
            memory(args[0]).copy_(memory(inner[0]))
            return args[0]
        return tree_map(lambda x: x.to(device) if isinstance(x, Tensor) else x, found)


def memory(x: Tensor) -> Tensor:
    """All that a tensor's storage holds, in one row; to copy that no kernel is needed."""
    row = torch.empty(0, dtype=x.dtype, device=x.device)
    return row.set_(x.untyped_storage())  # type: ignore


def fetched(x: Tensor) -> Tensor:
    """A tensor on the CPU, with its storage."""
    return memory(x).cpu().as_strided(x.size(), x.stride(), x.storage_offset()) if x.is_cuda else x
