"""PyTorch's global settings during fit and evaluation: threads, matmul precision."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from adapt.clip.backbone import Backbone, Precision

THREADS = 1  # seeds run in parallel, one thread each; another number of threads rounds sums differently


@contextmanager
def fixed(backbone: Backbone) -> Iterator[None]:
    """Set PyTorch as in the stages for the block, so that results are the same.

    The settings are one thread, matrix products in the backbone's precision, gradients on, the caller's autocast off,
    and float32 as the default dtype. After the block, the caller's settings are restored.
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
    """Allow a GPU to round float32 to TF32 only if the precision is bfloat16.

    By default, torch lets convolutions round to TF32. cuDNN's attention stays off, since it makes a new plan for every
    shape, and each pruning makes new shapes.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    rounded = precision == "bfloat16"
    torch.set_float32_matmul_precision("high" if rounded else "highest")
    torch.backends.cudnn.allow_tf32 = rounded


def enable_determinism() -> None:
    """Make a GPU's results bitwise reproducible.

    PyTorch raises an error where it has no deterministic kernel. On a CPU with one thread, results are reproducible
    anyway.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS requires it
    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.enable_mem_efficient_sdp(False)  # its backward pass sums in any order
