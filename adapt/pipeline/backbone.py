"""The backbone that the params name, set up to run as they say."""

import os
from dataclasses import replace

import torch

from adapt.clip import backbone as clip
from adapt.config import BackboneConfig, RuntimeConfig
from adapt.errors import UserError
from adapt.pipeline import paths
from adapt.runtime import malloc


def load(backbone: BackboneConfig, runtime: RuntimeConfig) -> clip.Backbone:
    """The frozen backbone; what holds for all of PyTorch is set.

    Raises: UserError as `clip.load`, with the key of params.yaml.
    """
    set_matmul_precision(runtime.precision)
    if runtime.deterministic:
        enable_determinism()
    try:
        device = clip.choose_device(runtime.device)
    except UserError as error:
        raise UserError(f"params.yaml: runtime.{error}") from None
    try:
        found = clip.load(backbone.name, paths.weights(backbone.pretrained), device)
    except UserError as error:
        raise UserError(f"params.yaml: backbone.{error}") from None
    malloc.keep_freed_pages()  # now that what loading took is given back
    return replace(found, precision=runtime.precision, text_batch_size=runtime.text_batch_size)


def set_matmul_precision(precision: clip.Precision) -> None:
    """What a GPU may do with float32: nothing else (torch lets convolutions round to TF32), or TF32 beside bfloat16."""
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
