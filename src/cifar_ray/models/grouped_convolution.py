"""A grouped convolution whose input gradient fills the CPU's vector units."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def grouped_convolution(images: Tensor, weight: Tensor, bias: Tensor, num_groups: int) -> Tensor:
    """Computes `conv2d(images, weight, bias, groups=num_groups)`, with the same gradients up to rounding.

    Takes (B, C, H, W) with an even W, no padding, stride one. On an accelerator it is torch's own.
    """
    if images.device.type != "cpu" or not images.requires_grad:
        return functional.conv2d(images, weight, bias, groups=num_groups)
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        images, weight, bias = images.to(dtype), weight.to(dtype), bias.to(dtype)
    values: Tensor = _GroupedConvolution.apply(images, weight, bias, num_groups)  # type: ignore[no-untyped-call]
    return values


class _GroupedConvolution(torch.autograd.Function):
    """oneDNN computes the gradient of six input channels in vectors of sixteen; see `_input_gradient`."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, num_groups: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.num_groups = num_groups
        return functional.conv2d(images, weight, bias, groups=num_groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        images, weight = ctx.saved_tensors
        _, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradient,
            images,
            weight,
            [len(weight)],
            [1, 1],
            [0, 0],
            [1, 1],
            False,
            [0, 0],
            ctx.num_groups,
            [False, True, True],
        )
        return _input_gradient(gradient, weight, ctx.num_groups), of_weight, of_bias, None


def _input_gradient(gradient: Tensor, weight: Tensor, num_groups: int) -> Tensor:
    """The full correlation of the gradient with the flipped kernel, two neighbouring columns at once.

    A kernel one column wider, at stride two, holds the flipped kernel twice: its outputs are the channels of the
    left column, then those of the right one. That is a fifth more products, in vectors that are twice as full.
    """
    num_out, num_in, height, width = weight.shape
    flipped = weight.view(num_groups, -1, num_in, height, width).flip(3, 4).transpose(1, 2)
    pairs = flipped.new_zeros(num_groups, 2, num_in, num_out // num_groups, height, width + 1)
    pairs[:, 0, ..., :width] = flipped
    pairs[:, 1, ..., 1:] = flipped
    columns = functional.conv2d(
        gradient, pairs.flatten(0, 2), stride=(1, 2), padding=(height - 1, width - 1), groups=num_groups
    )
    num_images, _, num_rows, num_pairs = columns.shape
    columns = columns.view(num_images, num_groups, 2, num_in, num_rows, num_pairs)
    # (B, H, pairs, 2, groups, channels): the result is channels-last
    images = columns.permute(0, 4, 5, 2, 1, 3).reshape(num_images, num_rows, 2 * num_pairs, num_groups * num_in)
    return images.permute(0, 3, 1, 2)
