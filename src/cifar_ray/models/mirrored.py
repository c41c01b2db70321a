"""Layers whose channels form mirrored pairs: group convolutions (Cohen and Welling, arXiv 1602.07576)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cifar_ray.models.convolution import convolution


class MirroredConv2d(nn.Module):
    """A 3x3 convolution without bias whose second half of filters mirrors the first.

    It costs as much as a plain one and has half the weights. If mirroring an image mirrors this layer's input and
    exchanges its channels with their partners, it also mirrors the output and exchanges its two halves.
    Takes (N, num_in, H, W), gives (N, num_out, H, W); num_out even.
    """

    def __init__(self, num_in: int, num_out: int, partners: Sequence[tuple[int, int]] = ()) -> None:
        """`partners`: the input channels in the order into which mirroring puts them, as ranges (from, to).

        By default the second half, then the first.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_out // 2, num_in, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self._partners = partners or ((num_in // 2, num_in), (0, num_in // 2))

    def forward(self, values: Tensor) -> Tensor:
        """The outputs of the filters, then those of their mirror images."""
        # indexing the channels would lose the channels-last layout and gather the gradients one by one
        mirrored = torch.cat([self.weight[:, start:end] for start, end in self._partners], dim=1).flip(3)
        return convolution(values, torch.cat([self.weight, mirrored]))


class MirroredBatchNorm2d(nn.BatchNorm2d):
    """Batch norm of (N, num_channels, H, W) with one mean, variance and bias for both channels of a pair."""

    def __init__(self, num_channels: int, *, eps: float, momentum: float) -> None:
        super().__init__(num_channels // 2, eps=eps, momentum=momentum)

    def forward(self, values: Tensor) -> Tensor:
        """Views each pair as two neighbouring pixels: in channels-last memory nothing is copied."""
        num_images, num_channels, height, width = values.shape
        rows = values.permute(0, 2, 3, 1).reshape(num_images, height, 2 * width, num_channels // 2)
        rows = super().forward(rows.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return rows.reshape(num_images, height, width, num_channels).permute(0, 3, 1, 2)


def pool_pairs(values: Tensor) -> Tensor:
    """Takes (N, num_channels), gives (N, num_channels / 2), the same for a mirror image.

    Sums each pair, scaled to the variance of one channel if the two are independent.
    """
    first, second = values.chunk(2, dim=1)
    return (first + second) / math.sqrt(2)
