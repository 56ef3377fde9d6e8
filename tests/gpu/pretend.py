"""Tensors that claim to be on cuda:0 and compute on the CPU.

With them, whole runs on a GPU give true numbers without a GPU. Within `Pretend()`, in a process on the pretended CUDA
runtime (fakecuda.c), a tensor that is made on or moved to "cuda" is a `Pretended`. Mixing devices raises as on a GPU,
every wait of the host for the device is recorded with the lines of adapt/ that cause it, and attention goes to the
kernel that PyTorch picks for that device (kernels.py).
"""

import sys
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from types import FrameType
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor
from torch.utils import _python_dispatch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from tests.gpu import kernels

off = _python_dispatch._disable_current_modes  # a context in which nothing is pretended
aten = torch.ops.aten
CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")
INDEXING = {
    aten.index.Tensor, aten._unsafe_index.Tensor, aten.index_put.default, aten.index_put_.default,
    aten._index_put_impl_.default,
}  # fmt: skip
READS = {  # the host waits for what they tell it: a number, or a size
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.is_nonzero.default,
    aten.equal.default, aten._unique2.default,
}  # fmt: skip


class Mixed(RuntimeError):
    """An operation of tensors on both devices."""


class Wait(NamedTuple):
    """A wait of the host: its cause, and the functions of adapt/ in which it happened.

    The innermost is first, such as "adapt/pruning.py:lowest".
    """

    kind: str
    functions: tuple[str, ...]


waits: list[Wait] = []


def record(kind: str) -> None:
    """Add a wait from here."""
    frame: FrameType | None = sys._getframe()
    functions = []
    while frame:
        _, found, file = frame.f_code.co_filename.rpartition("/adapt/")
        if found:
            functions.append(f"adapt/{file}:{frame.f_code.co_name}")
        frame = frame.f_back
    if not functions and threading.current_thread() is not threading.main_thread():
        functions = ["backward"]  # autograd has a thread for each GPU
    waits.append(Wait(kind, tuple(functions)))


class Pretended(Tensor):
    """A tensor on the pretended GPU; `values` is the one on the CPU."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "Pretended":
        made: Any = Tensor._make_wrapper_subclass(  # type: ignore
            cls, values.size(), strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype,
            layout=values.layout, device=CUDA, requires_grad=False,
        )  # fmt: skip
        made.values = values
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    def __init__(self, values: Tensor):
        pass

    def __repr__(self, **_: Any) -> str:
        return f"Pretended({self.values!r})"

    def __tensor_flatten__(self) -> Any:
        """With `__tensor_unflatten__`, lets modules swap their parameters when moved."""
        return ["values"], None

    @staticmethod
    def __tensor_unflatten__(inner: Any, meta: Any, size: Any, stride: Any) -> "Pretended":
        return Pretended(inner["values"])

    def tolist(self) -> Any:
        record("tolist")
        return self.values.tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    def untyped_storage(self) -> Any:
        return self.values.untyped_storage()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Return the pickled form of a real CUDA tensor, as a GPU would leave in a file.

        That is possible here, since copies need no kernels.
        """
        with off():
            real = self.values.detach().contiguous().cuda()
        if isinstance(self, torch.nn.Parameter):
            real = torch.nn.Parameter(real, self.requires_grad)
        return real.__reduce_ex__(protocol)


def on_gpu(x: Any) -> bool:
    """Return whether an object is a GPU tensor, pretended or of the CUDA runtime."""
    return isinstance(x, Tensor) and x.device.type == "cuda"


def on_cpu(x: Any) -> Any:
    """Return an argument's value on the CPU."""
    if isinstance(x, Pretended):
        return x.values
    if isinstance(x, torch.device) and x.type == "cuda":
        return CPU
    return x.cpu() if isinstance(x, Tensor) and on_gpu(x) else x


def pretended(x: Any) -> Any:
    """A result on the GPU."""
    return Pretended(x) if isinstance(x, Tensor) and not isinstance(x, Pretended) else x


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation, where its tensors are; what would make the host wait is recorded."""
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    device = kwargs.get("device")
    to_gpu = device is not None and torch.device(device).type == "cuda"
    if not any(map(on_gpu, tensors)):
        if not to_gpu:
            return func(*args, **kwargs)
        if func is aten._to_copy.default:
            copied(args[0], kwargs.get("non_blocking", False))
        return tree_map(pretended, func(*args, **{**kwargs, "device": CPU}))
    if func is aten.record_stream.default:
        return None
    if func is aten._to_copy.default and device is not None and not to_gpu:
        record("copy to the host")
        return func(on_cpu(args[0]), **kwargs)
    if func is aten.copy_.default and not on_gpu(args[0]):
        record("copy to the host")
        return args[0].copy_(on_cpu(args[1]))
    if func in READS:
        record(func.__name__)
    check(func, args, tensors)
    inner = tree_map(on_cpu, (args, kwargs))
    found = tree_map(pretended, kernels.KERNELS.get(func, func)(*inner[0], **inner[1]))
    if func in kernels.KERNELS or not all(isinstance(x, Pretended) for x in tensors if on_gpu(x)):
        return found
    return return_and_correct_aliasing(func, args, kwargs, found)


def copied(source: Tensor, non_blocking: bool) -> None:
    """Record that a copy to the GPU waits, unless it does not."""
    if not source.is_pinned():
        record("copy from memory that is not pinned")
    elif not non_blocking:
        record("copy that is not non_blocking")


def check(func: Any, args: Any, tensors: Iterable[Tensor]) -> None:
    """Raise for tensors on the CPU, except where a GPU accepts them.

    It accepts single numbers, sources of copies, and indices.
    """
    strangers = [x for x in tensors if not on_gpu(x)]
    if func is aten.copy_.default:
        if strangers:
            copied(args[1], len(args) > 2 and args[2])
        return
    if func in INDEXING:
        indices = [x for x in args[1] if isinstance(x, Tensor)]
        for index in indices:
            if not on_gpu(index):
                record("index from the host")
            elif index.dtype == torch.bool:
                record("truth values as an index")
        strangers = [x for x in strangers if all(x is not index for index in indices)]
        strangers += [] if on_gpu(args[0]) else [args[0]]
        if strangers and not any(x.dim() for x in strangers):
            record("number from the host")
    if any(x.dim() for x in strangers):
        where = ", ".join(f"{x.device.type} {list(x.shape)}" for x in tensors)
        raise Mixed(f"{func}: tensors on both devices: {where}")


class Pretend(TorchDispatchMode):
    """A context in which "cuda" is the pretended GPU.

    This also holds in threads started within it, and for torch.save and load.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    def __enter__(self) -> Any:
        save, load, thread = torch.save, torch.load, threading.Thread.run

        def saving(*args: Any, **kwargs: Any) -> None:
            with off():
                save(*args, **kwargs)

        def loading(*args: Any, **kwargs: Any) -> Any:
            with off():
                return tree_map(lambda x: Pretended(x.cpu()) if on_gpu(x) else x, load(*args, **kwargs))

        def running(self: threading.Thread) -> None:
            with Within():
                thread(self)

        self.patches = ExitStack()
        for place, name, function in (
            (torch, "save", saving),
            (torch, "load", loading),
            (threading.Thread, "run", running),
        ):
            self.patches.enter_context(mock.patch.object(place, name, function))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self.patches.close()
        super().__exit__(*error)


class Within(TorchDispatchMode):
    """The mode alone, for a thread."""

    __torch_dispatch__ = Pretend.__torch_dispatch__
