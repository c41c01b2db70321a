"""The CIFAR-10 speed runs' network (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_ray.cifar10 import CLASSES
from cifar_ray.models.convolution import Conv2d
from cifar_ray.models.mirrored import MirroredBatchNorm2d, MirroredConv2d, pool_pairs

WIDTHS = (64, 256, 256)
DEEP = 3
"""Convolutions of a block that has a shortcut."""
KERNEL = 2
NUM_WHITENED = 2 * 3 * KERNEL**2
PARTNERS = ((12, 18), (6, 12), (0, 6), (18, 24))
"""Which whitened channel replaces each in a mirror image: an antisymmetric filter's negative, else itself."""
EPSILON = 0.1
"""Added to the variances by which images are whitened. The paper's 5e-4 amplifies noise in the directions with almost
no variance, which on JPEG images are half of them (docs/methods.md)."""
OUTPUT_SCALE = 1 / 9
NORM_MOMENTUM = 0.4
"""As torch defines it: the weight of the batch in the running statistics."""


class SpeedNet(nn.Module):
    """A frozen whitening layer, three blocks of 3x3 convolutions, one dense layer, no bias in any.

    The first channels of each convolution start as the identity, batch norm has biases but no gains, and activations
    are GELU. Takes (N, 3, S, S) float, S at least 16, gives (N, 10) logits. The paper's network for 94 % has two
    convolutions in each block, 1.97 M weights in all; the one for 96 % has three, with a shortcut around the last two,
    and twice the channels.

    The flip-equivariant variant is not in the paper: its channels are mirrored pairs, and a 32x32 image and its mirror
    image have the same logits, for about the same cost and half the weights. Its pooling windows are three wide, so
    that they lie symmetrically.
    """

    def __init__(self, *, block_depth: int = 2, widening: float = 1.0, is_flip_equivariant: bool = False) -> None:
        """`block_depth`: convolutions in each block; `widening`: factor for their channels, rounded down."""
        super().__init__()
        self._is_flip_equivariant = is_flip_equivariant
        # the paper trains a bias for three epochs; without it no gradient is needed here, which saves 1/14 of a step
        self.whitening = nn.Conv2d(3, NUM_WHITENED, KERNEL, bias=False)
        self.whitening.weight.requires_grad_(False)
        multiple = 2 if is_flip_equivariant else 1
        widths = (int(width * widening) // multiple * multiple for width in WIDTHS)
        sizes = (NUM_WHITENED, *widths)
        self.blocks = nn.Sequential(*(_Block(*each, block_depth, is_flip_equivariant) for each in pairwise(sizes)))
        self.dense = nn.Linear(sizes[-1] // multiple, len(CLASSES), bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        values = self.blocks(functional.gelu(self.whitening(images)))
        values = functional.max_pool2d(values, values.shape[-1]).flatten(1)
        if self._is_flip_equivariant:
            values = pool_pairs(values)
        return cast("Tensor", self.dense(values)) * OUTPUT_SCALE

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Set the first layer to the whitening of the 2x2 patches of (n, 3, 32, 32) images, and its negative.

        Its filters are the eigenvectors of the patches' covariance, each divided by the root of its eigenvalue. If
        flip-equivariant, the mirrored patches count too: six filters are negated by mirroring, then six unchanged.
        """
        covariance = _covariance(images)
        filters = _mirrored_whitening(covariance) if self._is_flip_equivariant else _whitening(covariance)
        filters = filters.view(-1, 3, KERNEL, KERNEL)
        self.whitening.weight.copy_(torch.cat([filters, -filters]))


def _covariance(images: Tensor) -> Tensor:
    """(12, 12) double, of all 2x2 patches about zero. In parts: the patches of 5,000 images take a gigabyte."""
    total, num_patches = torch.zeros(2 * [3 * KERNEL**2], dtype=torch.float64, device=images.device), 0
    for part in torch.split(images.float(), 250):
        patches = functional.unfold(part, KERNEL).transpose(1, 2).flatten(0, 1).double()
        total += patches.T @ patches
        num_patches += len(patches)
    return total / num_patches


def _whitening(covariance: Tensor) -> Tensor:
    """Filters that whiten values of that (d, d) covariance: (d, d), one a row."""
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
    return cast("Tensor", (eigenvectors / (eigenvalues + EPSILON).sqrt()).T)


def _mirrored_whitening(covariance: Tensor) -> Tensor:
    """The same for patches: (12, 12), six filters from left-right differences, then six from sums."""
    (left, left_right), (right_left, right) = covariance.view(6, KERNEL, 6, KERNEL).permute(1, 3, 0, 2)
    halves = [
        (sign, _whitening((left + right + sign * (left_right + right_left)) / 2) / math.sqrt(2)) for sign in (-1, 1)
    ]
    return torch.cat([torch.stack([half, sign * half], dim=2).flatten(1) for sign, half in halves])


class _Block(nn.Module):
    def __init__(self, num_in: int, num_out: int, depth: int, is_mirrored: bool) -> None:
        super().__init__()
        self.conv1 = _convolution(num_in, num_out, is_mirrored)
        self.norm1 = _norm(num_out, is_mirrored)
        self.conv2 = _convolution(num_out, num_out, is_mirrored)
        self.norm2 = _norm(num_out, is_mirrored)
        self.has_shortcut = depth == DEEP
        if self.has_shortcut:
            self.conv3 = _convolution(num_out, num_out, is_mirrored)
            self.norm3 = _norm(num_out, is_mirrored)
        self._window = 3 if is_mirrored else 2

    def forward(self, values: Tensor) -> Tensor:
        pooled = functional.max_pool2d(self.conv1(values), self._window, stride=2)
        first = functional.gelu(self.norm1(pooled))
        values = functional.gelu(self.norm2(self.conv2(first)))
        if self.has_shortcut:
            values = functional.gelu(self.norm3(self.conv3(values)) + first)
        return values


def _convolution(num_in: int, num_out: int, is_mirrored: bool) -> nn.Module:
    if not is_mirrored:
        layer = Conv2d(num_in, num_out, kernel_size=3, padding=1, bias=False)
        nn.init.dirac_(layer.weight[:num_in])
        return layer
    # only the whitening gives as few channels: no block does, even at half the usual width
    is_first = num_in == NUM_WHITENED
    mirrored = MirroredConv2d(num_in, num_out, PARTNERS if is_first else ())
    nn.init.dirac_(mirrored.weight[: num_in if is_first else num_in // 2])
    return mirrored


def _norm(width: int, is_mirrored: bool) -> nn.BatchNorm2d:
    kind = MirroredBatchNorm2d if is_mirrored else nn.BatchNorm2d
    layer = kind(width, eps=1e-12, momentum=NORM_MOMENTUM)
    layer.weight.requires_grad_(False)
    return layer
