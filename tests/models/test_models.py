from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import nn

from cifar_ray.models import build_model
from cifar_ray.studies import TrialConfig

BASE = {"max_epochs": 1, "learning_rate": 0.1, "optimizer": "sgd", "weight_decay": 0.0, "dropout": 0.0}


def config(**settings: object) -> TrialConfig:
    return TrialConfig.from_dict({**BASE, **settings})


@pytest.mark.parametrize(
    ("settings", "num_parameters"),
    [
        ({"model": "classic_cnn"}, 62_006),  # PyTorch's tutorial net
        ({"model": "classic_cnn", "batch_norm": True}, 62_050),
        ({"model": "resnet", "depth": 18}, 11_173_962),
        ({"model": "resnet", "depth": 34}, 21_282_122),
        # torchvision's, with ten classes and the small stem
        ({"model": "resnet", "depth": 50}, 25_557_032 - 990 * 2049 - 3 * 64 * (49 - 9)),
        # Jordan's paper: 1.97 M
        ({"model": "speed_net"}, 1_972_768),
        # a third convolution, and its norm's gain and bias, of 64, 256 and 256 channels
        ({"model": "speed_net", "block_depth": 3}, 1_972_768 + 9 * (64**2 + 2 * 256**2) + 2 * (64 + 2 * 256)),
        ({"model": "speed_net", "widening": 1.5}, 4_424_352),
        # 35, 140 and 140 channels, rounded down
        (
            {"model": "speed_net", "widening": 0.55},
            288 + 9 * (24 * 35 + 35**2 + 35 * 140 + 3 * 140**2) + 4 * (35 + 2 * 140) + 10 * 140,
        ),
        # half of all but the whitening's
        ({"model": "speed_net", "flip_equivariant": True}, (1_972_768 - 288) // 2 + 288),
        ({"model": "deep_cnn", "depth": 2, "width": 16}, 448 + 2_320 + (16 * 256 + 1) * 128 + 1_290),
        ({"model": "deep_cnn", "depth": 8, "width": 8}, 107_794),
        # torchvision's own counts, less 990 outputs of 513 parameters
        ({"model": "resnet", "depth": 18, "stem": "imagenet"}, 11_689_512 - 990 * 513),
        ({"model": "resnet", "depth": 34, "stem": "imagenet"}, 21_797_672 - 990 * 513),
    ],
)
def test_parameter_counts(settings: dict[str, object], num_parameters: int) -> None:
    model = build_model(config(**settings))
    assert sum(parameter.numel() for parameter in model.parameters()) == num_parameters
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("model", "tail"),
    [
        ("classic_cnn", ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]),
        ("resnet", ["Dropout", "Linear"]),
    ],
)
def test_where_drop_out_stands(model: str, tail: list[str]) -> None:
    leaves = [layer for layer in build_model(config(model=model, dropout=0.3)).modules() if not list(layer.children())]
    assert [type(layer).__name__ for layer in leaves[-len(tail) :]] == tail
    assert {layer.p for layer in leaves if isinstance(layer, nn.Dropout)} == {0.3}


def test_xavier_initialises_dense_layers_alone() -> None:
    plain, xavier = (build_model(config(model="classic_cnn", xavier=each)) for each in (False, True))
    for one, other in zip(plain.modules(), xavier.modules(), strict=True):
        if isinstance(one, nn.Conv2d):
            assert torch.equal(one.weight, other.weight)
        if isinstance(other, nn.Linear):
            bound = (6 / (other.in_features + other.out_features)) ** 0.5
            assert 0.9 * bound < other.weight.abs().max() <= bound
            assert other.bias.abs().max() == 0


@pytest.mark.parametrize("settings", [{"model": "deep_cnn", "depth": 4}, {"model": "resnet"}])
def test_convolutions_are_drawn_for_relu(settings: dict[str, object]) -> None:
    """He et al. (arXiv 1502.01852, section 2.2), from the outputs."""
    for layer in build_model(config(**settings)).modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.out_channels * layer.weight[0, 0].numel()
            assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)


def test_a_stage_of_the_deep_cnn_is_its_plain_form() -> None:
    stage = build_model(config(model="deep_cnn", depth=2)).get_submodule("stage1")
    first, second = (layer for layer in stage.modules() if isinstance(layer, nn.Conv2d))
    images = torch.randn(2, 3, 32, 32)
    values = second(first(images).relu()).relu()
    assert torch.allclose(stage(images), values.unflatten(2, (16, 2)).unflatten(4, (16, 2)).amax(dim=(3, 5)))


def test_one_seed_one_network() -> None:
    def weights(seed: int) -> torch.Tensor:
        return next(build_model(config(model="classic_cnn", seed=seed)).parameters())

    assert torch.equal(weights(7), weights(7))
    assert not torch.equal(weights(7), weights(42))


def test_threads_that_build_networks_at_once_draw_each_its_own_weights() -> None:
    """As the trials do that join a cohort."""
    settings = config(model="classic_cnn")
    alone = [build_model(replace(settings, seed=seed)).state_dict() for seed in range(8)]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            models = threads.map(lambda seed: build_model(replace(settings, seed=seed)), range(8))
            for model, expected in zip(models, alone, strict=True):
                assert all(torch.equal(each, expected[name]) for name, each in model.state_dict().items())


def test_the_cifar_stem_keeps_the_size() -> None:
    sizes = {}
    for stem in ("cifar", "imagenet"):
        model = build_model(config(model="resnet", stem=stem))
        model.layer4.register_forward_hook(lambda _m, _i, out, stem=stem: sizes.update({stem: out.shape[-1]}))
        model.eval()(torch.zeros(1, 3, 32, 32))
    assert sizes == {"cifar": 4, "imagenet": 1}
