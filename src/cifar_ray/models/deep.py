"""A plain CNN like the classic one, of any depth and width."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from cifar_ray.cifar10 import CLASSES
from cifar_ray.models.convolution import Conv2d
from cifar_ray.models.dropout import Dropout

CONVOLUTIONS_PER_STAGE = 2
HIDDEN = 128


def deep_cnn(*, depth: int, width: int, batch_norm: bool, dropout: float) -> nn.Sequential:
    """`depth` 3x3 convolutions in stages of two, then two dense layers, ReLU; dropout on the hidden one.

    Each stage ends in 2x2 max pooling and has twice the channels of the one before, `width` in the first, as in VGG
    (Simonyan and Zisserman, arXiv 1409.1556). Takes (N, 3, 32, 32) float, gives (N, 10) logits.
    """
    num_stages = depth // CONVOLUTIONS_PER_STAGE
    stages: list[tuple[str, nn.Module]] = []
    num_in, num_out, side = 3, width, 32
    for index in range(num_stages):
        stages.append((f"stage{index + 1}", _stage(num_in, num_out, batch_norm)))
        num_in, num_out, side = num_out, 2 * num_out, side // 2
    model = nn.Sequential(
        OrderedDict(
            [
                *stages,
                ("flatten", nn.Flatten()),
                ("dense1", nn.Sequential(nn.Linear(num_in * side * side, HIDDEN), nn.ReLU(), Dropout(dropout))),
                ("dense2", nn.Linear(HIDDEN, len(CLASSES))),
            ]
        )
    )
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return model


def _stage(num_in: int, num_out: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(CONVOLUTIONS_PER_STAGE):
        source = num_in if index == 0 else num_out
        layers.append(Conv2d(source, num_out, kernel_size=3, padding=1, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(num_out))
        if index == CONVOLUTIONS_PER_STAGE - 1:
            # the same as ReLU before pooling, on a quarter of the values
            layers.append(nn.MaxPool2d(2))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)
