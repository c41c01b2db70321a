"""Layers of mirrored pairs: their plain form, their gradients, and what a mirror image gives."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_ray.models.mirrored import MirroredBatchNorm2d, MirroredConv2d, pool_pairs


def mirror(values: Tensor) -> Tensor:
    """What mirroring an image does to a layer's values: mirrors them, and exchanges the halves."""
    return values.flip(3).roll(values.shape[1] // 2, dims=1)


def draw(*shape: int) -> Tensor:
    values = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return values.contiguous(memory_format=torch.channels_last)


def test_a_mirrored_convolution_is_its_plain_form() -> None:
    """Output channel 3 + k of six is filter k, read from right to left, its input channels' halves exchanged."""
    layer, values = MirroredConv2d(4, 6).double(), draw(2, 4, 5, 7)
    padded = functional.pad(values, (1, 1, 1, 1))
    expected = torch.zeros(2, 6, 5, 7, dtype=torch.float64)
    for half in range(2):
        for k in range(3):
            for channel in range(4):
                for row in range(3):
                    for column in range(3):
                        source = (channel + 2 * half) % 4
                        weight = layer.weight[k, source, row, 2 - column if half else column]
                        expected[:, 3 * half + k] += weight * padded[:, channel, row : row + 5, column : column + 7]
    assert torch.allclose(layer(values), expected)


def test_the_gradient_of_a_mirrored_convolution() -> None:
    layer, values = MirroredConv2d(4, 6).double(), draw(1, 4, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda inputs: layer(inputs), values)

    def apply(weight: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, values.detach())

    assert torch.autograd.gradcheck(apply, layer.weight.detach().clone().requires_grad_())


def test_a_mirror_image_gives_a_mirrored_convolutions_mirrored_values() -> None:
    layer, values = MirroredConv2d(4, 6).double(), draw(2, 4, 5, 7)
    assert torch.allclose(layer(mirror(values)), mirror(layer(values)))
    # of the first, mirroring exchanges 0 and 1, and leaves 2 and 3
    first = MirroredConv2d(4, 6, partners=((1, 2), (0, 1), (2, 4))).double()
    assert torch.allclose(first(values[:, [1, 0, 2, 3]].flip(3)), mirror(first(values)))


def test_a_mirrored_batch_norm_has_the_statistics_of_both_halves() -> None:
    layer, values = MirroredBatchNorm2d(6, eps=1e-5, momentum=0.4).double(), draw(4, 6, 5, 7)
    plain = nn.BatchNorm2d(3, eps=1e-5, momentum=0.4).double()
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        plain.bias.copy_(layer.bias)
    beside = torch.cat(values.chunk(2, dim=1), dim=3)
    for each in (values, values.contiguous()):
        assert torch.allclose(layer(each), torch.cat(plain(beside).chunk(2, dim=3), dim=1))
    layer.eval()
    assert torch.allclose(layer(values), torch.cat(plain.eval()(beside).chunk(2, dim=3), dim=1))
    assert torch.allclose(layer(mirror(values)), mirror(layer(values)))


def test_pooled_pairs_are_the_same_for_a_mirror_image() -> None:
    values = draw(5, 6, 1, 1).flatten(1)
    assert torch.equal(pool_pairs(values), pool_pairs(values.roll(3, dims=1)))
    assert torch.allclose(pool_pairs(values)[:, 1], (values[:, 1] + values[:, 4]) / math.sqrt(2))
