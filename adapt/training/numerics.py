"""What holds for all of PyTorch while a method is fitted or scored: threads, and how a GPU multiplies matrices."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from adapt.clip.backbone import Backbone, Precision

THREADS = 1  # seeds run side by side, a thread each; sums of another number of threads round otherwise


@contextmanager
def fixed(backbone: Backbone) -> Iterator[None]:
    """Within the block PyTorch computes as in the stages, after it as the caller had it: so numbers are the same.

    That is: one thread, products of the backbone's precision, gradients, no autocast of the caller's, float32.
    """
    threads, products = torch.get_num_threads(), torch.get_float32_matmul_precision()
    convolutions, dtype = torch.backends.cudnn.allow_tf32, torch.get_default_dtype()
    cudnn_attention = torch.backends.cuda.cudnn_sdp_enabled()
    torch.set_num_threads(THREADS)
    torch.set_default_dtype(torch.float32)
    set_matmul_precision(backbone.precision)
    try:
        with ExitStack() as within:
            within.enter_context(torch.inference_mode(False))
            within.enter_context(torch.enable_grad())
            for device in {"cpu", backbone.device.type}:
                within.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cuda.enable_cudnn_sdp(cudnn_attention)


def set_matmul_precision(precision: Precision) -> None:
    """What a GPU may do with float32: nothing else (torch lets convolutions round to TF32), or TF32 beside bfloat16.

    cuDNN's attention stays off: it plans anew for every shape, and each pruning makes new ones.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    rounded = precision == "bfloat16"
    torch.set_float32_matmul_precision("high" if rounded else "highest")
    torch.backends.cudnn.allow_tf32 = rounded


def enable_determinism() -> None:
    """The same bytes from a GPU each time, where PyTorch has such kernels; where it has none it says so, and raises.

    On a CPU, with one thread, they are the same anyway.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.enable_mem_efficient_sdp(False)  # its backward pass adds in any order
