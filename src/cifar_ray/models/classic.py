"""The report's classic CNN."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from cifar_ray.cifar10 import CLASSES
from cifar_ray.models.dropout import Dropout
from cifar_ray.models.grouped_convolution import grouped_convolution
from cifar_ray.models.pooled_norm import Norm, norm_pool_relu


def classic_cnn(*, batch_norm: bool, dropout: float, xavier: bool) -> nn.Sequential:
    """Two convolutions with max pooling, three dense layers, ReLU.

    The report gives no widths; those of the PyTorch tutorial (6 and 16 channels of 5x5, then 120, 84, 10) fit
    its accuracy. Takes (N, 3, 32, 32) float, gives (N, 10) logits. 62,006 parameters; batch norm after each
    convolution adds 44. Drop-out acts on the output of each hidden dense layer (docs/decisions/0004).
    """
    model = nn.Sequential(
        OrderedDict(
            conv1=PooledConvolution(3, 6, batch_norm=batch_norm),
            conv2=PooledConvolution(6, 16, batch_norm=batch_norm),
            flatten=nn.Flatten(),
            dense1=nn.Sequential(nn.Linear(16 * 5 * 5, 120), nn.ReLU(), Dropout(dropout)),
            dense2=nn.Sequential(nn.Linear(120, 84), nn.ReLU(), Dropout(dropout)),
            dense3=nn.Linear(84, len(CLASSES)),
        )
    )
    if xavier:
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
    return model


class PooledConvolution(nn.Sequential):
    """A 5x5 convolution, perhaps batch norm, 2x2 max pooling and ReLU.

    On the CPU these are two operations: torch's own layers take most of a step there, since six channels do not fill
    its vectors (docs/performance.md).
    """

    def __init__(self, num_in: int, num_out: int, *, batch_norm: bool) -> None:
        layers: list[nn.Module] = [nn.Conv2d(num_in, num_out, kernel_size=5)]
        if batch_norm:
            layers.append(nn.BatchNorm2d(num_out))
        # the same as ReLU before pooling, on a quarter of the values
        super().__init__(*layers, nn.MaxPool2d(2), nn.ReLU())

    def forward(self, values: Tensor) -> Tensor:
        """Takes (B, num_in, H + 4, W + 4), gives (B, num_out, H / 2, W / 2)."""
        if values.device.type != "cpu" or torch.compiler.is_compiling():
            return cast("Tensor", super().forward(values))  # type: ignore[no-untyped-call]  # torch's own
        convolution, norm = cast("nn.Conv2d", self[0]), self[1]
        values = grouped_convolution(values, convolution.weight, cast("Tensor", convolution.bias), 1)
        if not isinstance(norm, nn.BatchNorm2d):
            return norm_pool_relu(values, None, is_training=self.training)
        if self.training:
            cast("Tensor", norm.num_batches_tracked).add_(1)
        return norm_pool_relu(values, _as_norm(norm), is_training=self.training)


def _as_norm(layer: nn.BatchNorm2d) -> Norm:
    return Norm(
        weight=layer.weight,
        bias=layer.bias,
        running_mean=cast("Tensor", layer.running_mean),
        running_var=cast("Tensor", layer.running_var),
        channels=np.arange(layer.num_features),
    )
