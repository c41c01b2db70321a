"""The CIFAR-10 speed runs' network (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498)."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

NUM_CLASSES = 10
WIDTHS = (64, 256, 256)
DEEP = 3
"""Convolutions of a block that has a shortcut."""
KERNEL = 2
NUM_WHITENED = 2 * 3 * KERNEL**2
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
    """

    def __init__(self, *, block_depth: int = 2, widening: float = 1.0) -> None:
        """`block_depth`: convolutions of each block; `widening`: factor of their channels, rounded down."""
        super().__init__()
        # the paper trains a bias for three epochs; without one no gradient has to come this far, a fourteenth of a step
        self.whitening = nn.Conv2d(3, NUM_WHITENED, KERNEL, bias=False)
        self.whitening.weight.requires_grad_(False)
        sizes = (NUM_WHITENED, *(int(width * widening) for width in WIDTHS))
        self.blocks = nn.Sequential(*(_Block(*each, block_depth) for each in pairwise(sizes)))
        self.dense = nn.Linear(sizes[-1], NUM_CLASSES, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        values = self.blocks(functional.gelu(self.whitening(images)))
        values = functional.max_pool2d(values, values.shape[-1]).flatten(1)
        return cast("Tensor", self.dense(values)) * OUTPUT_SCALE

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Set the first layer to the whitening of the 2x2 patches of (n, 3, 32, 32) images, and its negative.

        Its filters are the eigenvectors of the patches' covariance, each over the root of its eigenvalue.
        """
        patches = functional.unfold(images.float(), KERNEL).transpose(1, 2).flatten(0, 1).double()
        eigenvalues, eigenvectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (eigenvectors / (eigenvalues + EPSILON).sqrt()).T.reshape(-1, 3, KERNEL, KERNEL)
        self.whitening.weight.copy_(torch.cat([filters, -filters]))


class _Block(nn.Module):
    def __init__(self, num_in: int, num_out: int, depth: int) -> None:
        super().__init__()
        self.conv1 = _convolution(num_in, num_out)
        self.norm1 = _norm(num_out)
        self.conv2 = _convolution(num_out, num_out)
        self.norm2 = _norm(num_out)
        self.has_shortcut = depth == DEEP
        if self.has_shortcut:
            self.conv3 = _convolution(num_out, num_out)
            self.norm3 = _norm(num_out)

    def forward(self, values: Tensor) -> Tensor:
        first = functional.gelu(self.norm1(functional.max_pool2d(self.conv1(values), 2)))
        values = functional.gelu(self.norm2(self.conv2(first)))
        if self.has_shortcut:
            values = functional.gelu(self.norm3(self.conv3(values)) + first)
        return values


def _convolution(num_in: int, num_out: int) -> nn.Conv2d:
    layer = nn.Conv2d(num_in, num_out, kernel_size=3, padding=1, bias=False)
    nn.init.dirac_(layer.weight[:num_in])
    return layer


def _norm(width: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(width, eps=1e-12, momentum=NORM_MOMENTUM)
    layer.weight.requires_grad_(False)
    return layer
