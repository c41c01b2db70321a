"""Builds a trial's network from its settings."""

from __future__ import annotations

import threading

import torch
from torch import nn

from cifar_ray.models.classic import classic_cnn
from cifar_ray.models.deep import deep_cnn
from cifar_ray.models.nf_resnet import NfResNet
from cifar_ray.models.resnet import resnet
from cifar_ray.models.speed_net import SpeedNet
from cifar_ray.studies import TrialConfig

__all__ = ["build_model"]

_DRAWING = threading.Lock()
"""Held while weights are drawn: a cohort's trials are built in threads, which share torch's generator."""


def build_model(config: TrialConfig) -> nn.Module:
    """The network of `config`, its weights drawn from `config.seed`, in channels-last memory format."""
    with _DRAWING:
        torch.manual_seed(config.seed)
        model = _build(config)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # torch's stub lacks it


def _build(config: TrialConfig) -> nn.Module:
    match config.model:
        case "classic_cnn":
            return classic_cnn(batch_norm=config.batch_norm, dropout=config.dropout, xavier=config.xavier)
        case "deep_cnn":
            return deep_cnn(
                depth=config.depth, width=config.width, batch_norm=config.batch_norm, dropout=config.dropout
            )
        case "resnet":
            return resnet(depth=config.depth, dropout=config.dropout, stem=config.stem)
        case "nf_resnet":
            return NfResNet(depth=config.depth, dropout=config.dropout)
        case "speed_net":
            return SpeedNet(
                block_depth=config.block_depth, widening=config.widening, is_flip_equivariant=config.flip_equivariant
            )
