"""Asynchronous copies of tensors from the CPU to a device."""

import torch
from torch import Tensor


def pin(values: Tensor, device: torch.device) -> Tensor:
    """Return a CPU tensor in pinned memory, if the device is a GPU.

    The device can copy from there while the host continues.
    """
    return values.pin_memory() if device.type == "cuda" else values


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to the device while the host continues."""
    return pin(values, device).to(device, non_blocking=True)
