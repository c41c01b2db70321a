"""Builds a trial's optimiser and learning-rate schedule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, MultiStepLR, OneCycleLR

from cifar_ray.studies import TrialConfig
from cifar_ray.studies.trial_config import BASE_BATCH_SIZE
from cifar_ray.training.muon import Muon

TRIANGLE = ((0.0, 0.23, 1.0), (0.2, 1.0, 0.07))
"""Fractions of the training, and of the peak rate there; linear in between (Jordan, arXiv 2404.00498)."""


def build_optimizer(config: TrialConfig, network: nn.Module) -> Optimizer:
    """Adam, AdamW, Muon or SGD with momentum. Weight decay is torch's L2 penalty, but decoupled in AdamW; Muon's
    filters have none.

    All use torch's fused kernels: one pass over all weights a step, on any device.
    """
    groups = _parameter_groups(config, network)
    rate = config.learning_rate * _rate_factor(config)
    if config.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=config.momentum, nesterov=config.nesterov, fused=True)
    if config.optimizer == "muon":
        return Muon(groups, lr=rate, momentum=config.momentum, nesterov=config.nesterov)
    kind = AdamW if config.optimizer == "adamw" else Adam
    return kind(groups, lr=rate, fused=True)


def build_scheduler(config: TrialConfig, optimizer: Optimizer, steps_per_epoch: int) -> LRScheduler | None:
    """The schedule over all of `config.max_epochs`, to be stepped after every batch; None for a fixed rate.

    `steps` divides the rate by ten at half and at three quarters, as He et al. (2016, section 4.2) do on
    CIFAR-10; `one_cycle` is Smith and Topin's (arXiv 1708.07120) with torch's defaults, which also move the momentum
    (Adam's beta1) from 0.95 to 0.85 and back; `triangular` follows TRIANGLE.
    """
    num_steps = steps_per_epoch * config.max_epochs
    if config.schedule == "steps":
        return MultiStepLR(optimizer, milestones=[max(1, num_steps // 2), max(1, num_steps * 3 // 4)], gamma=0.1)
    if config.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=num_steps)
    if config.schedule == "one_cycle":
        return OneCycleLR(optimizer, max_lr=[group["lr"] for group in optimizer.param_groups], total_steps=num_steps)
    if config.schedule == "triangular":
        return LambdaLR(optimizer, lambda step: float(np.interp(step / num_steps, *TRIANGLE)))
    return None


def _parameter_groups(config: TrialConfig, network: nn.Module) -> list[dict[str, Any]]:
    """As few groups as the settings allow; the weights come first, since records name the first group's rate."""
    rate = config.learning_rate * _rate_factor(config)
    trained = [each for each in network.parameters() if each.requires_grad]
    filters = [each for each in trained if each.dim() == 4 and config.optimizer == "muon"]
    parameters = [each for each in trained if each.dim() != 4] if filters else trained
    fast = {id(each.bias) for each in network.modules() if isinstance(each, nn.BatchNorm2d) and config.bias_rate != 1}
    others = [each for each in parameters if id(each) not in fast]
    groups = [
        {
            "params": [each for each in others if config.decays_all or each.dim() > 1],
            "weight_decay": config.weight_decay,
        },
        {"params": [each for each in others if not config.decays_all and each.dim() <= 1], "weight_decay": 0.0},
        {
            "params": [each for each in parameters if id(each) in fast],
            "lr": rate * config.bias_rate,
            "weight_decay": config.weight_decay / config.bias_rate if config.decays_all else 0.0,
        },
        {"params": filters, "lr": config.filter_rate * _rate_factor(config), "is_orthogonal": True},
    ]
    return [group for group in groups if group["params"]]


def _rate_factor(config: TrialConfig) -> float:
    ratio = config.batch_size / BASE_BATCH_SIZE
    return {"none": 1.0, "linear": ratio, "square_root": math.sqrt(ratio)}[config.rate_scaling]
