"""Out-of-memory handling: retry with a smaller batch and log a warning."""

import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch

from adapt.clip.backbone import Backbone
from adapt.errors import UserError

T = TypeVar("T")
log = logging.getLogger(__name__)

# what a RuntimeError says where torch has no OutOfMemoryError for it: cuBLAS's start and workspace, and the CPU
SIGNS = (
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate", "CUBLAS_STATUS_ALLOC_FAILED", "can't allocate memory",
    "out of memory",
)  # fmt: skip
UNSUPPORTED = "CUDNN_STATUS_NOT_SUPPORTED"  # cuDNN's, for lack of a workspace, and for what no card does
LITTLE = 0.1  # of a GPU's memory; with less of it free the former is meant


class AdaptiveBatch:
    """How many images are worked on at a time: `size`, and half as many each time that memory runs out."""

    def __init__(self, size: int):
        self.size = size

    def each(self, work: Callable[[slice], T], wanted: range) -> list[T]:
        """`work(slice)` for consecutive slices of the numbers `wanted`.

        Raises: what `work` raises, such as torch.OutOfMemoryError where memory does not even hold one.
        """
        parts, start = [], wanted.start
        while start < wanted.stop:
            try:
                parts.append(work(slice(start, min(start + self.size, wanted.stop))))
                start += self.size
                continue
            except (RuntimeError, MemoryError) as error:
                if self.size == 1 or not is_out_of_memory(error):
                    raise
            self.size //= 2  # after the handler: what the error held is free now
            log_and_empty_cache(f"out of memory: going on with {self.size} images at a time")
        return parts


def retry_with_smaller_text_batch(work: Callable[[Backbone], T], backbone: Backbone, classes: int) -> T:
    """`work(backbone)`, again with half as many classes encoded at once for as long as memory runs out.

    Raises: UserError where it does not even hold one class at a time.
    """
    while True:
        try:
            return work(backbone)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        now = min(backbone.text_batch_size or classes, classes)
        if now == 1:
            raise UserError(
                "the device has too little memory even for one class and one image at a time, or for a training batch; "
                "lower optimizer.batch_size, set precision (in the params runtime.precision) to bfloat16, or free the "
                "device"
            )
        backbone = replace(backbone, text_batch_size=now // 2)
        log_and_empty_cache(
            f"out of memory with {now} classes at a time: going on with {now // 2}; to begin with as many, set "
            f"text_batch_size (in the params runtime.text_batch_size) to {now // 2}"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, whoever noticed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    said = str(error)
    return any(sign in said for sign in SIGNS) or (UNSUPPORTED in said and little_is_free())


def little_is_free() -> bool:
    """Whether there is a GPU whose memory is nearly all taken, also by what torch keeps for later."""
    if not torch.cuda.is_available():
        return False
    free, total = torch.cuda.mem_get_info()
    return free < LITTLE * total


def log_and_empty_cache(message: str) -> None:
    """Log a warning, and give back the memory that torch keeps for later."""
    log.warning(message)
    gc.collect()  # the failed pass's graph may hang in cycles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
