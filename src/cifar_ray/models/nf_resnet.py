"""Normalisation-free ResNets (Brock et al. 2021, arXiv 2101.08692) for 32x32 images."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_ray.cifar10 import CLASSES
from cifar_ray.models.convolution import Conv2d
from cifar_ray.models.dropout import Dropout

WIDTHS = (64, 128, 256, 512)
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
ALPHA = 0.2
"""The factor of a block's residual branch when it is added to the shortcut."""
RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))
"""Brings the ReLU of a standard normal value back to a variance of one."""


class NfResNet(nn.Module):
    """Pre-activation basic blocks without batch norm: scaled weight standardisation controls the variances instead.

    A block gives x + alpha f(x / beta), where beta is the standard deviation that x would have at first if every f gave
    a variance of one. Yet f's last layer starts at a gain of zero (SkipInit). Takes (N, 3, 32, 32) float, gives (N, 10)
    logits.
    """

    def __init__(self, *, depth: int, dropout: float) -> None:
        super().__init__()
        self.stem = StandardisedConv2d(3, WIDTHS[0], kernel_size=3, padding=1)
        blocks, num_in, variance = [], WIDTHS[0], 1.0
        for stage, (width, count) in enumerate(zip(WIDTHS, BLOCKS[depth], strict=True)):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                changes = index == 0 and (stride > 1 or num_in != width)
                blocks.append(_Block(num_in, width, stride, beta=math.sqrt(variance), changes_shape=changes))
                # a new shortcut starts from a variance of one
                variance = (1.0 if changes else variance) + ALPHA**2
                num_in = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(Dropout(dropout), nn.Linear(num_in, len(CLASSES)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        values = _activate(self.blocks(self.stem(images)))
        return cast("Tensor", self.head(values.mean(dim=(2, 3))))


class StandardisedConv2d(Conv2d):
    """A convolution whose filters have mean zero and, times the fan-in, variance one, before a gain of their own."""

    def __init__(self, num_in: int, num_out: int, *, kernel_size: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(num_in, num_out, kernel_size, stride, padding)
        nn.init.zeros_(cast("Tensor", self.bias))
        self.gain = nn.Parameter(torch.ones(num_out))

    def standardised_weight(self) -> Tensor:
        """The weight that is applied, (out, in, k, k)."""
        fan_in = self.weight[0].numel()
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        scale = torch.rsqrt((variance * fan_in).clamp_min(1e-4)) * self.gain.view(-1, 1, 1, 1)
        return (self.weight - mean) * scale

    def forward(self, values: Tensor) -> Tensor:
        """The convolution."""
        return self._conv_forward(values, self.standardised_weight(), self.bias)


class _Block(nn.Module):
    def __init__(self, num_in: int, width: int, stride: int, *, beta: float, changes_shape: bool) -> None:
        super().__init__()
        self._beta = beta
        self.shortcut = StandardisedConv2d(num_in, width, kernel_size=1, stride=stride) if changes_shape else None
        self.conv1 = StandardisedConv2d(num_in, width, kernel_size=3, stride=stride, padding=1)
        self.conv2 = StandardisedConv2d(width, width, kernel_size=3, padding=1)
        self.skip_gain = nn.Parameter(torch.zeros(()))

    def forward(self, values: Tensor) -> Tensor:
        active = _activate(values) / self._beta
        shortcut = values if self.shortcut is None else self.shortcut(active)
        return cast("Tensor", shortcut + ALPHA * self.skip_gain * self.conv2(_activate(self.conv1(active))))


def _activate(values: Tensor) -> Tensor:
    return functional.relu(values) * RELU_GAIN
