"""Tensors on their way to a device, which need not wait for it."""

import torch
from torch import Tensor


def pin(values: Tensor, device: torch.device) -> Tensor:
    """A tensor on the CPU in memory from which the device copies while the host goes on."""
    return values.pin_memory() if device.type == "cuda" else values


def send(values: Tensor, device: torch.device) -> Tensor:
    """A tensor on the CPU, copied to the device while the host goes on."""
    return pin(values, device).to(device, non_blocking=True)
