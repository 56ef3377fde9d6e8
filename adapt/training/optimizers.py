"""The optimizers by their configs, each with its convention for the learning rate and for how long to train."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from adapt.config import AdamWConfig, SGDConfig


def build(config: SGDConfig | AdamWConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer over these parameters; `learning_rate` gives its learning rate step by step."""
    match config:
        case SGDConfig():
            return torch.optim.SGD(parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
        case AdamWConfig():
            return torch.optim.AdamW(parameters, lr=config.lr, eps=config.eps, weight_decay=config.weight_decay)


def num_steps(config: SGDConfig | AdamWConfig, per_epoch: int, shots: int) -> int:
    """Optimizer steps in all."""
    if config.n_iters_per_shot is not None:
        return config.n_iters_per_shot * shots
    assert config.epochs is not None
    return config.epochs * per_epoch


def learning_rate(config: SGDConfig | AdamWConfig, step: int, *, per_epoch: int, total: int) -> float:
    """The learning rate of step number `step`, counted from 0.

    SGD: one rate an epoch, cosine from `lr` to nearly 0 after constant warm-up epochs; the cosine's period is all
    epochs, those of the warm-up included (Dassl's and CoOp's released code). AdamW: cosine from `lr` to `final_lr`,
    step by step (CLIP-LoRA, Tip-Adapter-F).
    """
    match config:
        case SGDConfig():
            epoch, epochs = step // per_epoch, math.ceil(total / per_epoch)
            if epoch < config.warmup_epochs:
                return config.warmup_lr
            return config.lr * (1 + math.cos(math.pi * (epoch - config.warmup_epochs) / epochs)) / 2
        case AdamWConfig():
            return config.final_lr + (config.lr - config.final_lr) * (1 + math.cos(math.pi * step / total)) / 2
