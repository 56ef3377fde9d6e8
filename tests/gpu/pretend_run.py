"""Facts about the pretended GPU itself."""

import ctypes
import io
import threading
from collections.abc import Callable

import torch
from torch.nn import functional as F

from tests.gpu import counts, kernels, pretend
from tests.gpu.facts import raises, tell

CUDA = "cuda"


def waiting(work: Callable[[], object]) -> int:
    """How often some work waits."""
    pretend.waits.clear()
    work()
    return len(pretend.waits)


def saved(x: object) -> io.BytesIO:
    """A file of it."""
    file = io.BytesIO()
    torch.save(x, file)
    file.seek(0)
    return file


def numbers_are_computed() -> bool:
    return torch.ones(3, device=CUDA).cumsum(0).cpu().tolist() == [1, 2, 3]


def gradients_are_computed() -> bool:
    x = torch.arange(3.0, device=CUDA).requires_grad_()
    (x * x).sum().backward()
    return x.grad is not None and x.grad.is_cuda and x.grad.tolist() == [0, 2, 4]


def devices_do_not_mix() -> bool:
    return raises(pretend.Mixed, lambda: torch.ones(3) + torch.ones(3, device=CUDA))


def single_numbers_mix() -> bool:
    return (torch.tensor(2.0) * torch.ones(3, device=CUDA)).tolist() == [2, 2, 2]


def numpy_is_refused() -> bool:
    return raises(TypeError, lambda: torch.ones(3, device=CUDA).numpy())


def reading_waits() -> bool:
    x = torch.ones(3, device=CUDA)
    return [waiting(read) for read in (x.cpu, x.tolist, x.sum().item, lambda: x[x > 0])] == [1, 1, 1, 1]


def computing_does_not_wait() -> bool:
    x = torch.ones(3, device=CUDA)
    return waiting(lambda: F.softmax(x @ torch.outer(x, x), dim=0)) == 0


def copy_of_what_is_not_pinned_waits() -> bool:
    return waiting(lambda: torch.ones(3).to(CUDA, non_blocking=True)) == 1


def copy_of_what_is_pinned_need_not_wait() -> bool:
    return waiting(lambda: torch.ones(3).pin_memory().to(CUDA, non_blocking=True)) == 0


def saved_tensors_come_back_to_the_gpu() -> bool:
    kept = torch.load(saved({"state": [torch.arange(6.0, device=CUDA).reshape(2, 3).T]}), weights_only=True)["state"][0]
    return isinstance(kept, pretend.Pretended) and kept.tolist() == [[0, 3], [1, 4], [2, 5]]


def saved_tensors_come_back_to_where_they_are_wanted() -> bool:
    kept = torch.load(saved(torch.ones(3, device=CUDA)), weights_only=True, map_location="cpu")
    return not kept.is_cuda and kept.tolist() == [1, 1, 1]


def saved_file_is_a_gpus() -> bool:
    file = saved(torch.ones(3, device=CUDA))
    with pretend.off():
        return b"cuda:0" in file.getvalue()


def threads_are_on_it_too() -> bool:
    made: list[torch.Tensor] = []
    thread = threading.Thread(target=lambda: made.append(torch.ones(3).to(CUDA)))
    thread.start()
    thread.join()
    return isinstance(made[0], pretend.Pretended)


def attention_has_a_kernel_of_the_device() -> bool:
    kernels.used.clear()
    q = torch.randn(1, 2, 8, 16, device=CUDA, requires_grad=True)
    F.scaled_dot_product_attention(q, q, q).sum().backward()
    return kernels.used == {"memory-efficient": 1}  # in float32 there is no other


def mask_of_another_type_is_refused() -> bool:
    q = torch.randn(1, 2, 8, 16, dtype=torch.bfloat16)
    return raises(kernels.KernelError, lambda: kernels.efficient(q, q, q, torch.zeros(8, 8), True))


def drivers_launches_count() -> bool:
    driver, function, before = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p(), counts.launches()
    driver.cuModuleGetFunction(ctypes.byref(function), None, b"of_triton")
    driver.cuLaunchKernel(function, *[1] * 7, None, None, None)
    return counts.launches() == before + 1 and counts.kernels()["of_triton"] == 1


def device_is_of_the_capability_asked_for() -> bool:
    return torch.cuda.get_device_capability() == (8, 9)


FACTS = [
    numbers_are_computed, gradients_are_computed, devices_do_not_mix, single_numbers_mix, numpy_is_refused,
    reading_waits, computing_does_not_wait, copy_of_what_is_not_pinned_waits, copy_of_what_is_pinned_need_not_wait,
    saved_tensors_come_back_to_the_gpu, saved_tensors_come_back_to_where_they_are_wanted, saved_file_is_a_gpus,
    threads_are_on_it_too, attention_has_a_kernel_of_the_device, mask_of_another_type_is_refused,
    drivers_launches_count, device_is_of_the_capability_asked_for,
]  # fmt: skip


if __name__ == "__main__":
    tell(FACTS)
