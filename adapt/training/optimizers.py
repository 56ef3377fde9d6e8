"""The optimisers by their params, each with its convention for the learning rate and for how long to train."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from adapt.config import AdamWConfig, SGDConfig


def build(section: SGDConfig | AdamWConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser over these parameters; `rate` gives its learning rate step by step."""
    match section:
        case SGDConfig():
            return torch.optim.SGD(
                parameters, lr=section.lr, momentum=section.momentum, weight_decay=section.weight_decay
            )
        case AdamWConfig():
            return torch.optim.AdamW(parameters, lr=section.lr, eps=section.eps, weight_decay=section.weight_decay)


def num_steps(section: SGDConfig | AdamWConfig, per_epoch: int, shots: int) -> int:
    """Optimiser steps in all."""
    if section.n_iters_per_shot is not None:
        return section.n_iters_per_shot * shots
    assert section.epochs is not None
    return section.epochs * per_epoch


def learning_rate(section: SGDConfig | AdamWConfig, step: int, *, per_epoch: int, total: int) -> float:
    """The learning rate of step number `step`, counted from 0.

    SGD: one rate an epoch, cosine from `lr` to nearly 0 after constant warm-up epochs; the cosine's period is all
    epochs, those of the warm-up included (Dassl's and CoOp's released code). AdamW: cosine from `lr` to `final_lr`,
    step by step (CLIP-LoRA, Tip-Adapter-F).
    """
    match section:
        case SGDConfig():
            epoch, epochs = step // per_epoch, math.ceil(total / per_epoch)
            if epoch < section.warmup_epochs:
                return section.warmup_lr
            return section.lr * (1 + math.cos(math.pi * (epoch - section.warmup_epochs) / epochs)) / 2
        case AdamWConfig():
            return section.final_lr + (section.lr - section.final_lr) * (1 + math.cos(math.pi * step / total)) / 2
