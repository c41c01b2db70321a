"""Optimisers and learning-rate schedules of a trial."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR

from cifar_ray.studies import TrialConfig


def build_optimizer(config: TrialConfig, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Adam or SGD with momentum; weight decay is the L2 penalty that torch's own of that name is.

    In torch's fused form: one pass over all weights a step, on any device.
    """
    if config.optimizer == "adam":
        return Adam(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    return SGD(
        parameters,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True,
    )


def build_scheduler(config: TrialConfig, optimizer: Optimizer, steps_per_epoch: int) -> LRScheduler | None:
    """The schedule over all of `config.max_epochs`, to be stepped after every batch; None for a fixed rate.

    `steps` divides the rate by ten at half and at three quarters, as He et al. (2016, section 4.2) do on
    CIFAR-10; `one_cycle` is Smith and Topin's (arXiv 1708.07120) with torch's defaults.
    """
    num_steps = steps_per_epoch * config.max_epochs
    if config.schedule == "steps":
        return MultiStepLR(optimizer, milestones=[max(1, num_steps // 2), max(1, num_steps * 3 // 4)], gamma=0.1)
    if config.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=num_steps)
    if config.schedule == "one_cycle":
        return OneCycleLR(optimizer, max_lr=config.learning_rate, total_steps=num_steps)
    return None
