"""Layers of channels in mirrored pairs: group convolutions (Cohen and Welling, arXiv 1602.07576)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class MirroredConv2d(nn.Module):
    """A 3x3 convolution without bias, the second half of whose filters are the first half's mirror images.

    So it costs what a plain one does, and has half the weights. Where mirroring an image mirrors this layer's input
    and exchanges its channels with their partners, it mirrors the output and exchanges its two halves.
    Takes (N, num_in, H, W), gives (N, num_out, H, W); num_out even.
    """

    def __init__(self, num_in: int, num_out: int, partners: Sequence[tuple[int, int]] = ()) -> None:
        """`partners`: which channels take the places of all in a mirror image, as runs of them (from, to).

        By default the second half, then the first.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_out // 2, num_in, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self._partners = partners or ((num_in // 2, num_in), (0, num_in // 2))

    def forward(self, values: Tensor) -> Tensor:
        """The values of the filters, then those of their mirror images."""
        # an index of channels would leave channels-last memory, and gather its gradients one by one
        mirrored = torch.cat([self.weight[:, start:end] for start, end in self._partners], dim=1).flip(3)
        return functional.conv2d(values, torch.cat([self.weight, mirrored]), padding=1)


class MirroredBatchNorm2d(nn.BatchNorm2d):
    """Batch norm of (N, num_channels, H, W) with one mean, variance and bias for both channels of a pair."""

    def __init__(self, num_channels: int, *, eps: float, momentum: float) -> None:
        super().__init__(num_channels // 2, eps=eps, momentum=momentum)

    def forward(self, values: Tensor) -> Tensor:
        """In channels-last memory, a pair is two pixels beside each other: nothing is copied."""
        num_images, num_channels, height, width = values.shape
        rows = values.permute(0, 2, 3, 1).reshape(num_images, height, 2 * width, num_channels // 2)
        rows = super().forward(rows.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return rows.reshape(num_images, height, width, num_channels).permute(0, 3, 1, 2)


def pool_pairs(values: Tensor) -> Tensor:
    """(N, num_channels / 2) of (N, num_channels), the same for a mirror image.

    The sum of a pair, with the variance of one where the two vary independently.
    """
    first, second = values.chunk(2, dim=1)
    return (first + second) / math.sqrt(2)
