"""The report's classic CNN."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from cifar_ray.models.dropout import Dropout

NUM_CLASSES = 10


def classic_cnn(*, batch_norm: bool, dropout: float, xavier: bool) -> nn.Sequential:
    """Two convolutions with max pooling, three dense layers, ReLU.

    The report gives no widths; those of the PyTorch tutorial (6 and 16 channels of 5x5, then 120, 84, 10) fit
    its accuracy. Takes (N, 3, 32, 32) float, gives (N, 10) logits. 62,006 parameters; batch norm after each
    convolution adds 44. Drop-out acts on the output of each hidden dense layer (docs/decisions/0004).
    """
    model = nn.Sequential(
        OrderedDict(
            conv1=_convolution(3, 6, batch_norm),
            conv2=_convolution(6, 16, batch_norm),
            flatten=nn.Flatten(),
            dense1=nn.Sequential(nn.Linear(16 * 5 * 5, 120), nn.ReLU(), Dropout(dropout)),
            dense2=nn.Sequential(nn.Linear(120, 84), nn.ReLU(), Dropout(dropout)),
            dense3=nn.Linear(84, NUM_CLASSES),
        )
    )
    if xavier:
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
    return model


def _convolution(num_in: int, num_out: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(num_in, num_out, kernel_size=5)]
    if batch_norm:
        layers.append(nn.BatchNorm2d(num_out))
    # the same as ReLU before pooling, on a quarter of the values
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.ReLU())
