"""The networks, built from a trial's settings."""

from __future__ import annotations

import torch
from torch import nn

from cifar_ray.models.classic import classic_cnn
from cifar_ray.models.resnet import resnet
from cifar_ray.studies import TrialConfig

__all__ = ["build_model"]


def build_model(config: TrialConfig) -> nn.Module:
    """The network of `config`, its weights drawn from `config.seed`, in channels-last memory format."""
    torch.manual_seed(config.seed)
    if config.model == "classic_cnn":
        model: nn.Module = classic_cnn(batch_norm=config.batch_norm, dropout=config.dropout, xavier=config.xavier)
    else:
        model = resnet(depth=config.depth, dropout=config.dropout, stem=config.stem)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # torch's stub lacks it
