"""The optimizers, with their learning rate schedules and training lengths."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from adapt.config import AdamWConfig, SGDConfig


def build(config: SGDConfig | AdamWConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Build the optimizer; `learning_rate` gives its learning rate for every step.

    A fused optimizer reads the learning rate from the device's memory, so that a recorded step can get another one.
    """
    parameters = list(parameters)
    device = next((parameter.device for parameter in parameters), torch.device("cpu"))
    fused = is_fused(device) or None
    settings: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": fused}
    match config:
        case SGDConfig():
            optimizer = torch.optim.SGD(parameters, momentum=config.momentum, **settings)
        case AdamWConfig():
            # torch records the step only if it is capturable, which changes nothing in a fused step
            optimizer = torch.optim.AdamW(parameters, eps=config.eps, capturable=bool(fused), **settings)
    if fused:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(config.lr, device=device)
    return optimizer


def is_fused(device: torch.device) -> bool:
    """Return whether the optimizer's step is one fused kernel on this device."""
    return device.type == "cuda"


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def load(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a saved state from any device; the settings stay those of `build`."""
    optimizer.load_state_dict({**state, "param_groups": optimizer.state_dict()["param_groups"]})


def num_steps(config: SGDConfig | AdamWConfig, per_epoch: int, shots: int) -> int:
    """Return the total number of optimizer steps."""
    if config.n_iters_per_shot is not None:
        return config.n_iters_per_shot * shots
    assert config.epochs is not None
    return config.epochs * per_epoch


def learning_rate(config: SGDConfig | AdamWConfig, step: int, *, per_epoch: int, total: int) -> float:
    """Return the learning rate of step number `step`, counted from 0.

    SGD: one rate per epoch; after constant warm-up epochs, a cosine from `lr` to nearly 0. The cosine's period is all
    epochs, those of the warm-up included (Dassl's and CoOp's released code). AdamW: one rate per step, a cosine from
    `lr` to `final_lr` (CLIP-LoRA, Tip-Adapter-F).
    """
    match config:
        case SGDConfig():
            epoch, epochs = step // per_epoch, math.ceil(total / per_epoch)
            if epoch < config.warmup_epochs:
                return config.warmup_lr
            return config.lr * (1 + math.cos(math.pi * (epoch - config.warmup_epochs) / epochs)) / 2
        case AdamWConfig():
            return config.final_lr + (config.lr - config.final_lr) * (1 + math.cos(math.pi * step / total)) / 2
