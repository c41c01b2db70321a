"""ResNet-18, -34 and -50 (He et al. 2016, arXiv 1512.03385) for 32x32 images."""

from __future__ import annotations

from typing import cast

from torch import nn

from cifar_ray.cifar10 import CLASSES
from cifar_ray.models.convolution import Conv2d
from cifar_ray.models.dropout import Dropout
from cifar_ray.studies.trial_config import Stem
from cifar_ray.torchvision_import import torchvision


def resnet(*, depth: int, dropout: float, stem: Stem) -> nn.Module:
    """torchvision's ResNet, with dropout before its one dense layer.

    The `cifar` stem is a 3x3 convolution at stride 1 without pooling, since ImageNet's 7x7 at stride 2 with
    pooling reduces a 32x32 image to 8x8. Takes (N, 3, 32, 32) float, gives (N, 10) logits.
    """
    build = {18: torchvision.models.resnet18, 34: torchvision.models.resnet34, 50: torchvision.models.resnet50}[depth]
    model = build(weights=None, num_classes=len(CLASSES))
    if stem == "cifar":
        model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    for layer in model.modules():
        if type(layer) is nn.Conv2d:
            layer.__class__ = Conv2d
    model.fc = nn.Sequential(Dropout(dropout), model.fc)
    return cast("nn.Module", model)
