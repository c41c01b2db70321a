"""The CIFAR-10 speed runs' network (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_ray.cifar10 import CLASSES
from cifar_ray.models.mirrored import MirroredBatchNorm2d, MirroredConv2d, pool_pairs

WIDTHS = (64, 256, 256)
DEEP = 3
"""Convolutions of a block that has a shortcut."""
KERNEL = 2
NUM_WHITENED = 2 * 3 * KERNEL**2
PARTNERS = ((12, 18), (6, 12), (0, 6), (18, 24))
"""Which whitened channel takes each one's place in a mirror image: an odd filter's negative, an even one itself."""
EPSILON = 0.1
"""Added to the variances that images are whitened by. The paper's 5e-4 makes noise of directions that have next to
none, half of them on JPEG images (docs/methods.md)."""
OUTPUT_SCALE = 1 / 9
NORM_MOMENTUM = 0.4
"""torch's: the share of the batch in the running statistics."""


class SpeedNet(nn.Module):
    """A frozen whitening layer, three blocks of 3x3 convolutions, one dense layer, no bias in any.

    The first channels of each convolution start as the identity, batch norm has biases but no gains, GELU. Takes
    (N, 3, S, S) float, S from 16 on, gives (N, 10) logits. The paper's network for 94 % has two convolutions in
    each block, 1.97 M weights in all; that for 96 % three, with a shortcut around the last two, of twice the
    channels.

    Flip-equivariant, which is not the paper's, its channels are mirrored pairs, and an image of 32x32 and its mirror
    image have the same logits, for about the same cost and half the weights. Its pooling windows are three wide, so
    that they lie alike from both sides.
    """

    def __init__(self, *, block_depth: int = 2, widening: float = 1.0, is_flip_equivariant: bool = False) -> None:
        """`block_depth`: convolutions of each block; `widening`: factor of their channels, rounded down."""
        super().__init__()
        self._is_flip_equivariant = is_flip_equivariant
        # the paper trains a bias for three epochs; without one no gradient has to come this far, a fourteenth of a step
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

        Its filters are the eigenvectors of the patches' covariance, each over the root of its eigenvalue; of patches
        and their mirror images, if flip-equivariant: six that mirroring negates, then six that it leaves alone.
        """
        patches = functional.unfold(images.float(), KERNEL).transpose(1, 2).flatten(0, 1).double()
        filters = _mirrored_whitening(patches) if self._is_flip_equivariant else _whitening(patches)
        filters = filters.view(-1, 3, KERNEL, KERNEL)
        self.whitening.weight.copy_(torch.cat([filters, -filters]))


def _whitening(values: Tensor) -> Tensor:
    """(d, d), a filter each row, of (n, d) values."""
    eigenvalues, eigenvectors = torch.linalg.eigh(values.T @ values / len(values))
    return cast("Tensor", (eigenvectors / (eigenvalues + EPSILON).sqrt()).T)


def _mirrored_whitening(patches: Tensor) -> Tensor:
    """(12, 12), a filter each row, of (n, 12) patches: of the differences of left and right, then of their sums."""
    left, right = patches.view(-1, 6, KERNEL).unbind(2)
    halves = [(sign, _whitening((left + sign * right) / math.sqrt(2)) / math.sqrt(2)) for sign in (-1, 1)]
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
        layer = nn.Conv2d(num_in, num_out, kernel_size=3, padding=1, bias=False)
        nn.init.dirac_(layer.weight[:num_in])
        return layer
    # no block gives as few channels, of half the usual width neither
    is_first = num_in == NUM_WHITENED
    mirrored = MirroredConv2d(num_in, num_out, PARTNERS if is_first else ())
    nn.init.dirac_(mirrored.weight[: num_in if is_first else num_in // 2])
    return mirrored


def _norm(width: int, is_mirrored: bool) -> nn.BatchNorm2d:
    kind = MirroredBatchNorm2d if is_mirrored else nn.BatchNorm2d
    layer = kind(width, eps=1e-12, momentum=NORM_MOMENTUM)
    layer.weight.requires_grad_(False)
    return layer
