"""A convolution that is fast on images of few pixels, too, on CPUs with AMX."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

MAX_SIDE = 8
"""Of images that are joined, in pixels. Larger ones gain nothing by it, nor do those of fewer channels."""
MIN_CHANNELS = 128
MAX_IN_ROW = 16


class Conv2d(nn.Conv2d):
    """torch's layer, computed by `convolution`."""

    def _conv_forward(self, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        form = (self.kernel_size, self.stride, self.padding, self.dilation, self.groups)
        if form != ((3, 3), (1, 1), (1, 1), (1, 1), 1):
            return cast("Tensor", super()._conv_forward(values, weight, bias))
        return convolution(values, weight, bias)


def convolution(images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Computes `conv2d(images, weight, bias, padding=1)`, up to rounding, for a 3x3 kernel.

    Takes (N, C, H, W). oneDNN fills AMX's tiles with pixels of one row, so that short rows leave them nearly empty. So
    up to 16 small images are joined side by side first, each followed by a column of zeros (docs/performance.md).
    """
    # their number comes last: of a program that is exported it is not known yet
    num_in_row = math.gcd(len(images), MAX_IN_ROW) if _is_faster_joined(images, weight) and len(images) else 1
    if num_in_row == 1:
        return functional.conv2d(images, weight, bias, padding=1)
    _, num_channels, height, width = images.shape
    rows = images.permute(0, 2, 3, 1).reshape(-1, num_in_row, height, width, num_channels).transpose(1, 2)
    gaps = rows.new_zeros(1).expand(len(rows), height, num_in_row, 1, num_channels)
    joined = torch.cat([rows, gaps], dim=3).flatten(2, 3).permute(0, 3, 1, 2)
    values = functional.conv2d(joined, weight, bias, padding=1).permute(0, 2, 3, 1)
    parts, _ = torch.split(values.reshape(len(rows), height, num_in_row, width + 1, -1), [width, 1], dim=3)
    apart: Tensor = parts.transpose(1, 2).flatten(0, 1).permute(0, 3, 1, 2)
    return apart.contiguous(memory_format=torch.channels_last)


def _is_faster_joined(images: Tensor, weight: Tensor) -> bool:
    # a compiler cannot ask what the CPU has
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    if max(images.shape[2:]) > MAX_SIDE or min(weight.shape[:2]) < MIN_CHANNELS:
        return False
    is_bfloat16 = images.dtype == torch.bfloat16 or (
        torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )
    return is_bfloat16 and bool(torch.cpu.get_capabilities().get("amx_bf16"))
