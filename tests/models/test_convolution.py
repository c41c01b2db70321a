from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cifar_ray.models import build_model, convolution
from cifar_ray.models.convolution import Conv2d
from cifar_ray.studies import TrialConfig

AMX = {"amx_bf16": True}


@pytest.fixture
def joined_sizes(monkeypatch):
    """Joins all small images, of any type on any CPU; the sizes of those it was asked about."""
    sizes: list[tuple[int, ...]] = []

    def is_small(images: Tensor, weight: Tensor) -> bool:
        sizes.append((*images.shape[1:],))
        return images.shape[3] <= convolution.MAX_SIDE

    monkeypatch.setattr(convolution, "_is_faster_joined", is_small)
    return sizes


def gradients(run, *tensors):
    """Output of `run`, and the gradients of a weighted sum of it, each output pixel weighted differently."""
    leaves = [each.clone().requires_grad_() for each in tensors]
    values = run(*leaves)
    (values * torch.linspace(-1, 1, values.numel(), dtype=values.dtype).view_as(values)).sum().backward()
    return [values.detach(), *(each.grad for each in leaves)]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (5, 3), (8, 8)])
@pytest.mark.parametrize("num_images", [16, 32, 12, 2, 7, 0])
def test_joined_images_give_the_values_and_gradients_of_torchs_convolution(joined_sizes, num_images, size):
    torch.manual_seed(0)
    images = torch.randn(num_images, 3, *size, dtype=torch.float64).to(memory_format=torch.channels_last)
    weight, bias = torch.randn(4, 3, 3, 3, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    expected = gradients(lambda *each: functional.conv2d(*each, padding=1), images, weight, bias)

    for found, other in zip(gradients(convolution.convolution, images, weight, bias), expected, strict=True):
        torch.testing.assert_close(found, other)


def test_joined_images_stay_channels_last(joined_sizes):
    images = torch.randn(16, 3, 4, 4).to(memory_format=torch.channels_last)

    assert convolution.convolution(images, torch.randn(4, 3, 3, 3)).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("cpu", "dtype", "side", "channels", "is_joined"),
    [
        (AMX, torch.bfloat16, 8, 128, True),
        (AMX, torch.bfloat16, 1, 512, True),
        (AMX, torch.bfloat16, 9, 128, False),
        (AMX, torch.bfloat16, 8, 127, False),
        (AMX, torch.float32, 8, 128, False),
        ({"amx_bf16": False}, torch.bfloat16, 8, 128, False),
        ({}, torch.bfloat16, 8, 128, False),
    ],
)
def test_images_are_joined_only_where_it_is_faster(monkeypatch, cpu, dtype, side, channels, is_joined):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    images, weight = torch.zeros(16, channels, side, side, dtype=dtype), torch.zeros(channels, channels, 3, 3)

    assert convolution._is_faster_joined(images, weight) is is_joined


def test_images_are_joined_in_autocasts_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: AMX)
    images, weight = torch.zeros(16, 128, 4, 4), torch.zeros(128, 128, 3, 3)

    with torch.autocast("cpu", torch.bfloat16):
        assert convolution._is_faster_joined(images, weight)
        assert convolution.convolution(images, weight).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.float16):
        assert not convolution._is_faster_joined(images, weight)


def test_code_with_it_can_be_compiled_as_a_whole():
    images, weight = torch.randn(16, 128, 4, 4).bfloat16(), torch.randn(128, 128, 3, 3).bfloat16()
    compiled = torch.compile(convolution.convolution, backend="eager", fullgraph=True)

    torch.testing.assert_close(compiled(images, weight), functional.conv2d(images, weight, padding=1))


@pytest.mark.parametrize("settings", [{"model": "deep_cnn", "depth": 2}, {"model": "speed_net"}])
def test_an_exported_network_takes_any_number_of_images(settings):
    fixed = {"max_epochs": 1, "optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0, "dropout": 0.0}
    network = build_model(TrialConfig(**fixed, **settings)).eval()
    program = torch.export.export(network, (torch.zeros(4, 3, 32, 32),), dynamic_shapes=({0: torch.export.Dim("n")},))
    images = torch.randn(7, 3, 32, 32)

    torch.testing.assert_close(program.module()(images), network(images))


SPEED_NET = {"model": "speed_net", "optimizer": "muon"}
MODELS = [
    ({"model": "resnet"}, {(256, 8, 8), (512, 4, 4)}),
    ({"model": "resnet", "stem": "imagenet"}, {(64, 8, 8), (128, 4, 4), (256, 2, 2), (512, 1, 1)}),
    ({"model": "nf_resnet"}, {(256, 8, 8), (512, 4, 4)}),
    ({"model": "deep_cnn", "depth": 8}, {(64, 8, 8), (128, 8, 8), (128, 4, 4), (256, 4, 4)}),
    (SPEED_NET | {"block_depth": 3}, {(256, 7, 7), (256, 3, 3)}),
    (SPEED_NET | {"block_depth": 3, "flip_equivariant": True}, {(256, 7, 7), (256, 3, 3)}),
]


@pytest.mark.parametrize(("settings", "expected_sizes"), MODELS)
def test_every_model_joins_its_small_images_and_learns_the_same(joined_sizes, monkeypatch, settings, expected_sizes):
    fixed = {"max_epochs": 1, "learning_rate": 0.1, "weight_decay": 0.0, "augmentation": False, "dropout": 0.0}
    config = TrialConfig(**{**fixed, "optimizer": "sgd", **settings})
    model = build_model(config).double()
    torch.manual_seed(0)
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64).to(memory_format=torch.channels_last)

    def step():
        model.zero_grad()
        logits = model(images)
        logits.square().sum().backward()
        return [logits.detach(), *(each.grad for each in model.parameters() if each.requires_grad)]

    joined = step()
    assert {each for each in joined_sizes if each[2] <= convolution.MAX_SIDE} >= expected_sizes
    monkeypatch.setattr(convolution, "_is_faster_joined", lambda *_: False)
    for found, other in zip(joined, step(), strict=True):
        torch.testing.assert_close(found, other)


def test_a_layer_of_another_form_is_torchs(joined_sizes):
    values = torch.randn(16, 64, 8, 8)
    three = {"kernel_size": 3, "padding": 1}
    others = [{"kernel_size": 1, "padding": 1}, three | {"stride": 2}, three | {"padding": 0}, three | {"groups": 2}]
    for options in [*others, three | {"dilation": 2}]:
        layer = Conv2d(64, 64, **options)
        form = (layer.stride, layer.padding, layer.dilation, layer.groups)
        expected = functional.conv2d(values, layer.weight, layer.bias, *form)
        torch.testing.assert_close(layer(values), expected)
    assert not joined_sizes
