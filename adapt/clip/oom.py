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

# messages of RuntimeErrors where torch raises no OutOfMemoryError: cuBLAS's start, cuBLAS's workspace, and the CPU
SIGNS = (
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate", "CUBLAS_STATUS_ALLOC_FAILED", "can't allocate memory",
    "out of memory",
)  # fmt: skip
UNSUPPORTED = "CUDNN_STATUS_NOT_SUPPORTED"  # cuDNN's error for lack of a workspace, but also for what no GPU supports
LITTLE = 0.1  # share of a GPU's memory; if less is free, cuDNN's error counts as out of memory


class AdaptiveBatch:
    """The number of images per batch, `size`, halved each time that memory runs out."""

    def __init__(self, size: int):
        self.size = size

    def each(self, work: Callable[[slice], T], wanted: range) -> list[T]:
        """Return `work(slice)` for consecutive slices of the range `wanted`.

        Raises: any error of `work`, such as torch.OutOfMemoryError if even one image does not fit in memory.
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
            self.size //= 2  # after the handler, which has freed the memory that the error held
            log_and_empty_cache(f"out of memory: going on with {self.size} images at a time")
        return parts


def retry_with_smaller_text_batch(work: Callable[[Backbone], T], backbone: Backbone, classes: int) -> T:
    """Return `work(backbone)`; on out of memory, retry with half the text batch size.

    The text batch size is the number of classes encoded at once.
    Raises: UserError if even one class at a time does not fit in memory.
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
                "lower optimizer.batch_size, set precision (params: runtime.precision) to bfloat16, or free the device"
            )
        backbone = replace(backbone, text_batch_size=now // 2)
        log_and_empty_cache(
            f"out of memory with {now} classes at a time: going on with {now // 2}; to start with {now // 2}, set "
            f"text_batch_size (params: runtime.text_batch_size) to {now // 2}"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, whatever library raised it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    said = str(error)
    return any(sign in said for sign in SIGNS) or (UNSUPPORTED in said and little_is_free())


def little_is_free() -> bool:
    """Return whether a GPU's memory is nearly full, torch's cache included."""
    if not torch.cuda.is_available():
        return False
    free, total = torch.cuda.mem_get_info()
    return free < LITTLE * total


def log_and_empty_cache(message: str) -> None:
    """Log a warning, and free the memory that torch caches."""
    log.warning(message)
    gc.collect()  # reference cycles may keep the failed pass's graph
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
