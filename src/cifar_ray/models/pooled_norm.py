"""Batch norm, 2x2 max pooling and ReLU, in that order, as one operation that is fast on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cifar_ray.models import cpu_loops

MOMENTUM = 0.1
EPSILON = 1e-5
"""Both are torch's defaults."""

Vector = NDArray[np.floating[Any]]
Kind = type[np.float32] | type[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Norm:
    """Batch norm's tensors for n of the channels; all are (n,)."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    channels: NDArray[np.int64]
    """Their indices among all channels of the values."""


def norm_pool_relu(values: Tensor, norm: Norm | None, *, is_training: bool) -> Tensor:
    """Takes (B, C, H, W) on the CPU, H and W even, gives (B, C, H / 2, W / 2); only channels in `norm` are normalised.

    Equals torch's three layers up to rounding; in training it updates the running statistics as they do. bfloat16
    values are computed in float32, the type of batch norm's tensors.
    """
    weight, bias = (None, None) if norm is None else (norm.weight, norm.bias)
    return cast("Tensor", _NormPoolRelu.apply(values, weight, bias, norm, is_training))  # type: ignore[no-untyped-call]


class _NormPoolRelu(torch.autograd.Function):
    """Writes nothing of full size but its input's gradient, over the input itself, since memory bandwidth limits it.

    So backward can run only once, and the operation that made the input must not need it for its own gradient; a
    convolution does not.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Norm | None, is_training: bool
    ) -> Tensor:
        values = values.contiguous(memory_format=torch.channels_last)
        batch_size, num_channels, height, width = values.shape
        rows = _rows(values)
        kind = _kind(values)
        scale, shift = np.ones(num_channels, kind), np.zeros(num_channels, kind)
        if norm is not None:
            mean, deviation = _batch_statistics(rows, norm, width, kind) if is_training else _running_statistics(norm)
            ctx.mean, ctx.deviation = mean, deviation
            scale[norm.channels] = norm.weight.detach().numpy() / deviation
            shift[norm.channels] = norm.bias.detach().numpy() - scale[norm.channels] * mean
        size = batch_size, height // 2, width // 2, num_channels
        pooled, chosen = (values.new_empty(size).permute(0, 3, 1, 2) for _ in range(2))
        winners = torch.empty_like(pooled, dtype=torch.uint8)
        cpu_loops.pool(
            rows,
            np.tile(scale, width),
            np.tile(shift, width),
            num_channels,
            _rows(pooled),
            _rows(chosen),
            _rows(winners),
        )
        ctx.norm, ctx.is_training, ctx.scale, ctx.is_spent = norm, is_training, scale, False
        ctx.save_for_backward(values, chosen, winners)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, chosen, winners = ctx.saved_tensors
        if ctx.is_spent:
            raise RuntimeError("norm_pool_relu keeps its input for one backward pass")
        ctx.is_spent = True
        norm: Norm | None = ctx.norm
        _, num_channels, _, width = values.shape
        gradients = _rows(gradient.contiguous(memory_format=torch.channels_last))
        slope, shift = np.zeros((2, num_channels), ctx.scale.dtype)
        of_weight = of_bias = None
        if norm is not None:
            sums = np.zeros((2, gradients.shape[1]), ctx.scale.dtype)
            cpu_loops.sum_gradients(gradients, _rows(chosen), _rows(winners), *sums)
            total, product = _by_channel(sums, num_channels)[:, norm.channels]
            mean, scale = ctx.mean, ctx.scale[norm.channels]
            along = (product - mean * total) / ctx.deviation
            of_weight, of_bias = (torch.from_numpy(each.astype(ctx.scale.dtype)) for each in (along, total))
            if ctx.is_training:
                num_values = values.numel() // num_channels
                slope[norm.channels] = -scale * along / (ctx.deviation * num_values)
                shift[norm.channels] = -scale * total / num_values - slope[norm.channels] * mean
        cpu_loops.unpool(
            gradients,
            _rows(winners),
            np.tile(ctx.scale, width),
            np.tile(slope, width),
            np.tile(shift, width),
            num_channels,
            _rows(values),
        )
        return values, of_weight, of_bias, None, None


def _batch_statistics(rows: NDArray[Any], norm: Norm, width: int, kind: Kind) -> tuple[Vector, Vector]:
    """Mean and standard deviation of the normalised channels; also updates the running statistics."""
    sums = np.zeros((2, rows.shape[1]), kind)
    # of the distances to some value, since a mean far above the deviation would leave few digits to its square
    origin = _widened(rows[0], kind)
    cpu_loops.sum_columns(rows, origin, *sums)
    num_channels = rows.shape[1] // width
    num_values = len(rows) * width
    total, square = sums.astype(np.float64)
    start = len(rows) * origin.astype(np.float64)
    sums_from_zero = np.stack([total + start, square + origin * (2 * total + start)])
    mean, mean_square = _by_channel(sums_from_zero, num_channels)[:, norm.channels] / num_values
    variance = np.maximum(mean_square - mean**2, 0)
    unbiased = variance * num_values / (num_values - 1)
    for running, current in ((norm.running_mean, mean), (norm.running_var, unbiased)):
        values = running.numpy()
        values += MOMENTUM * (current - values)
    return mean, np.sqrt(variance + EPSILON)


def _running_statistics(norm: Norm) -> tuple[Vector, Vector]:
    return norm.running_mean.numpy(), np.sqrt(norm.running_var.numpy() + EPSILON)


def _by_channel(sums: NDArray[Any], num_channels: int) -> NDArray[np.float64]:
    """Sum (n, W C) over the columns to (n, C)."""
    totals: NDArray[np.float64] = sums.reshape(len(sums), -1, num_channels).sum(axis=1, dtype=np.float64)
    return totals


def _kind(values: Tensor) -> Kind:
    """The type to compute in."""
    return np.float64 if values.dtype == torch.float64 else np.float32


def _widened(row: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """A row of `_rows` as numbers."""
    values = torch.from_numpy(row)
    return (values.view(torch.bfloat16).float() if row.dtype == np.uint16 else values).numpy().astype(kind)


def _rows(values: Tensor) -> NDArray[Any]:
    """A view (B H, W C) of channels-last (B, C, H, W); bfloat16 as its bits."""
    values = values.detach().permute(0, 2, 3, 1).flatten(2).flatten(0, 1)
    return (values.view(torch.uint16) if values.dtype == torch.bfloat16 else values).numpy()
