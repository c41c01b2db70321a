"""Each method beside a slow, plain form of it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cifar_ray.models import build_model
from cifar_ray.studies import TrialConfig
from cifar_ray.training.averaging import WeightAverage
from cifar_ray.training.clipping import clip_gradients, clipped_parameters
from cifar_ray.training.muon import MOMENTUM, Muon, orthogonal
from cifar_ray.training.objective import Objective, evaluate
from cifar_ray.training.optimization import build_optimizer, build_scheduler

BASE = {
    "model": "classic_cnn",
    "max_epochs": 1,
    "learning_rate": 0.1,
    "optimizer": "sgd",
    "weight_decay": 0.01,
    "dropout": 0.0,
}


def config(**settings: object) -> TrialConfig:
    return TrialConfig.from_dict({**BASE, **settings})


def test_nesterov_steps_as_the_formula_does() -> None:
    weight = nn.Parameter(torch.tensor([[1.0, -2.0]]))
    layer = nn.Linear(2, 1, bias=False)
    layer.weight = weight
    optimizer = build_optimizer(config(nesterov=True, momentum=0.8, weight_decay=0.0), layer)
    plain, velocity = weight.detach().clone(), torch.zeros_like(weight)
    for gradient in torch.tensor([[[0.5, 1.0]], [[-1.0, 0.25]], [[0.1, 0.1]]]):
        weight.grad = gradient.clone()
        optimizer.step()
        velocity = 0.8 * velocity + gradient
        plain = plain - 0.1 * (gradient + 0.8 * velocity)
        assert torch.allclose(weight, plain)


def test_adamw_decays_apart_from_the_gradient() -> None:
    layer = nn.Linear(2, 1, bias=False)
    before = layer.weight.detach().clone()
    optimizer = build_optimizer(config(optimizer="adamw", weight_decay=0.5), layer)
    layer.weight.grad = torch.zeros_like(layer.weight)
    optimizer.step()
    assert torch.allclose(layer.weight, before * (1 - 0.1 * 0.5))


@pytest.mark.parametrize("shape", [(32, 4, 3, 3), (8, 16, 3, 3), (16, 5)])
def test_an_orthogonal_matrix_has_the_directions_of_the_given_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    values = torch.randn(shape)
    left, _, right = torch.linalg.svd(values.flatten(1), full_matrices=False)
    # in the singular vectors of the given matrix, ours is diagonal, its entries near one
    found = left.T @ orthogonal(values[None], num_iterations=5)[0].flatten(1) @ right.T
    assert found.diagonal().min() > 0.6
    assert found.diagonal().max() < 1.3
    assert (found - torch.diag(found.diagonal())).abs().max() < 0.05


def test_muon_steps_filters_of_one_shape_together_as_one_by_one() -> None:
    """As it does on a GPU."""
    torch.manual_seed(0)
    alone = [nn.Parameter(torch.randn(8, 4, 3, 3)) for _ in range(3)]
    together = copy.deepcopy(alone)
    muons = [
        Muon([{"params": each, "is_orthogonal": True}], lr=0.1, momentum=0.9, nesterov=True)
        for each in (alone, together)
    ]
    for _ in range(2):
        for one, other in zip(alone, together, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        places = [each.grad.data_ptr() for each in together]
        with torch.no_grad():
            for each in alone:
                muons[0]._orthogonalise([each])
            muons[1]._orthogonalise(together)
        assert [each.grad.data_ptr() for each in together] == places
        for one, other in zip(alone, together, strict=True):
            assert torch.equal(one, other)
            assert torch.equal(one.grad, other.grad)


def test_muon_steps_as_the_formula_does() -> None:
    """Filters along the orthogonal matrix from a norm of their own; all else as SGD."""
    settings = {"batch_norm": True, "momentum": 0.8, "nesterov": True, "weight_decay": 0.02}
    settings |= {"filter_rate": 0.025, "rate_scaling": "linear", "batch_size": 128}
    network = build_model(config(**settings))
    twin = copy.deepcopy(network)
    muon = build_optimizer(config(optimizer="muon", **settings), network)
    sgd = build_optimizer(config(**settings), twin)
    name = "conv2.0.weight"
    plain = network.get_parameter(name).detach().clone()
    velocity = torch.zeros_like(plain)
    for _ in range(3):
        for mine, other in zip(network.parameters(), twin.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        gradient = network.get_parameter(name).grad.clone()
        velocity = MOMENTUM * velocity + gradient
        plain = plain * 16**0.5 / plain.norm() - 0.05 * orthogonal((gradient + MOMENTUM * velocity)[None])[0]
        muon.step()
        sgd.step()
        assert torch.allclose(network.get_parameter(name), plain, atol=1e-5)
    for (key, mine), other in zip(network.named_parameters(), twin.parameters(), strict=True):
        assert torch.allclose(mine, other) == (mine.dim() != 4), key


@pytest.mark.parametrize("bias_rate", [1.0, 64.0])
def test_norms_and_biases_can_be_left_undecayed(bias_rate: float) -> None:
    settings = config(batch_norm=True, decays_all=False, bias_rate=bias_rate)
    network = build_model(settings)
    decayed, *undecayed = build_optimizer(settings, network).param_groups
    assert (decayed["weight_decay"], {group["weight_decay"] for group in undecayed}) == (0.01, {0.0})
    others = [each for group in undecayed for each in group["params"]]
    assert {each.dim() > 1 for each in decayed["params"]} == {True}
    assert {each.dim() > 1 for each in others} == {False}
    assert len(decayed["params"]) + len(others) == len(list(network.parameters()))


def test_biases_of_norms_learn_at_their_own_rate() -> None:
    network = build_model(config(model="speed_net"))
    settings = config(model="speed_net", bias_rate=64.0, schedule="triangular", rate_scaling="linear", batch_size=128)
    others, biases = build_optimizer(settings, network).param_groups
    assert biases["lr"] == pytest.approx(64 * others["lr"]) == pytest.approx(12.8)
    assert biases["lr"] * biases["weight_decay"] == pytest.approx(others["lr"] * others["weight_decay"])
    assert len(biases["params"]) == 6
    assert not any(each is network.get_parameter("whitening.weight") for each in others["params"])


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1), ("linear", 16), ("square_root", 4)])
def test_the_rate_follows_the_batch_size(scaling: str, factor: float) -> None:
    optimizer = build_optimizer(config(rate_scaling=scaling, batch_size=1024), nn.Linear(2, 1))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * factor)


@pytest.mark.parametrize("schedule", ["one_cycle", "triangular"])
def test_every_group_has_its_own_peak(schedule: str) -> None:
    network = build_model(config(model="speed_net"))
    settings = config(model="speed_net", bias_rate=64.0, schedule=schedule)
    optimizer = build_optimizer(settings, network)
    scheduler = build_scheduler(settings, optimizer, steps_per_epoch=100)
    assert scheduler is not None
    rates = []
    for _ in range(100):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    assert [max(column) for column in zip(*rates, strict=True)] == pytest.approx([0.1, 6.4], rel=0.02)
    assert all(biases == pytest.approx(64 * others) for others, biases in rates)


def test_the_triangle_rises_then_falls() -> None:
    settings = config(schedule="triangular")
    optimizer = build_optimizer(settings, nn.Linear(2, 1))
    scheduler = build_scheduler(settings, optimizer, steps_per_epoch=100)
    assert scheduler is not None
    rates = []
    for _ in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert (rates[0], rates[23], rates[100]) == pytest.approx((0.02, 0.1, 0.007))
    assert rates[:24] == sorted(rates[:24])
    assert rates[23:] == sorted(rates[23:], reverse=True)


@pytest.mark.parametrize("model", ["classic_cnn", "nf_resnet"])
def test_gradients_are_clipped_unit_by_unit(model: str) -> None:
    network = build_model(config(model=model))
    generator = torch.Generator().manual_seed(0)
    for index, parameter in enumerate(network.parameters()):
        parameter.grad = torch.randn(parameter.shape, generator=generator) * (0.05 if index % 3 else 1e-4)
    before = [each.grad.clone() for each in network.parameters() if each.grad is not None]
    clip_gradients(clipped_parameters(network), 0.04)
    last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    factors = []
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert parameter.grad is not None
        if any(parameter is each for each in last.parameters()):
            assert torch.equal(parameter.grad, old)
            continue
        for weight, new, gradient in list(zip(*map(_units, (parameter, parameter.grad, old)), strict=True))[:16]:
            limit = 0.04 * max(float(weight.norm()), 1e-3)
            factor = min(1.0, limit / float(gradient.norm()))
            factors.append(factor)
            assert torch.allclose(new, gradient * factor, rtol=1e-4, atol=1e-9)
    assert 10 < factors.count(1.0) < len(factors) - 10


def _units(values: torch.Tensor) -> torch.Tensor:
    """A row each; a vector or a scalar is one."""
    return values.detach().flatten(1) if values.dim() > 1 else values.detach().reshape(1, -1)


def test_label_smoothing_spreads_a_share_of_the_target() -> None:
    network, images, labels = nn.Flatten(), torch.randn(4, 10, 1, 1), torch.tensor([1, 2, 3, 9])
    loss, logits = evaluate(network, **vars(Objective(config(label_smoothing=0.2), seed=0).prepare(images, labels)))
    targets = functional.one_hot(labels, 10) * 0.8 + 0.02
    assert torch.allclose(loss, -(targets * logits.log_softmax(1)).sum(1).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_mixup_mixes_images_and_targets_alike(smoothing: float) -> None:
    images, labels = torch.eye(10)[:, :, None, None].repeat(1, 1, 1, 1), torch.arange(10)
    seen: list[torch.Tensor] = []

    class Recorder(nn.Module):
        def forward(self, mixed: torch.Tensor) -> torch.Tensor:
            seen.append(mixed.flatten(1))
            return mixed.flatten(1)

    objective = Objective(config(mixup=1.0, label_smoothing=smoothing), seed=3)
    shares = []
    for _ in range(200):
        loss, logits = evaluate(Recorder(), **vars(objective.prepare(images, labels)))
        # an image is the one-hot form of its label: the mixture is the target
        target = (1 - smoothing) * seen[-1] + smoothing / 10
        assert torch.allclose(loss, -(target * logits.log_softmax(1)).sum(1).mean(), atol=1e-6)
        shares.append(float(seen[-1].diagonal().min()))
    assert min(shares) >= 0.5
    # the larger of two uniform shares: a mean of three quarters
    assert sum(shares) / len(shares) == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.2])
def test_a_small_alpha_mixes_little(alpha: float) -> None:
    """Its gammas are below what a float32 can hold."""
    images, labels = torch.randn(2, 10, 1, 1), torch.arange(2)
    objective = Objective(config(mixup=alpha), seed=3)
    shares = [objective.prepare(images, labels).share for _ in range(500)]
    drawn = np.random.default_rng(0).beta(alpha, alpha, 20_000)
    assert sum(shares) / len(shares) == pytest.approx(np.maximum(drawn, 1 - drawn).mean(), abs=0.02)


def test_a_seed_mixes_the_same() -> None:
    images, labels = torch.randn(8, 10, 1, 1), torch.arange(8)
    losses = []
    for seed in (1, 1, 2):
        objective = Objective(config(mixup=0.2), seed=seed)
        losses.append([evaluate(nn.Flatten(), **vars(objective.prepare(images, labels)))[0].item() for _ in range(2)])
    assert losses[0] == losses[1] != losses[2]


def test_the_mixing_shares_no_bits_with_drop_out() -> None:
    """Without dropout it is what it has been, so that trainings repeat."""
    images, labels = torch.randn(8, 10, 1, 1), torch.arange(8)
    generator = torch.Generator().manual_seed(5)
    drawn = torch._standard_gamma(torch.full((2,), 0.2), generator=generator)
    share = max(float(drawn[0] / drawn.sum()), float(drawn[1] / drawn.sum()))
    with_it, without = (
        Objective(config(mixup=0.2, dropout=dropout), seed=5).prepare(images, labels).share for dropout in (0.1, 0.0)
    )
    assert without == pytest.approx(share)
    assert with_it != pytest.approx(share)


def _drift(network: nn.Module, generator: torch.Generator) -> None:
    for each in network.state_dict().values():
        if each.is_floating_point():
            each += torch.randn(each.shape, generator=generator)


@pytest.mark.parametrize("name", ["dense3.weight", "conv1.1.running_mean"])
def test_ema_is_the_plain_recursion(name: str) -> None:
    network = build_model(config(batch_norm=True))
    average = WeightAverage(config(averaging="ema"), network, num_steps=50)
    generator = torch.Generator().manual_seed(0)
    plain = network.state_dict()[name].clone()
    for step in range(1, 51):
        _drift(network, generator)
        average.update(step)
        decay = min(0.999, (1 + step) / (10 + step))
        plain = decay * plain + (1 - decay) * network.state_dict()[name]
    assert torch.allclose(average.average[name], plain, atol=1e-5)


def test_lookahead_draws_the_weights_to_the_slow_ones() -> None:
    network = build_model(config())
    average = WeightAverage(config(averaging="lookahead"), network, num_steps=20)
    fast = copy.deepcopy(network)
    slow = {name: each.detach().clone() for name, each in network.named_parameters()}
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    for step in range(1, 21):
        _drift(network, generators[0])
        _drift(fast, generators[1])
        average.update(step)
        if step % 5 == 0:
            decay = 0.95**5 * (step / 20) ** 3
            with torch.no_grad():
                for name, each in fast.named_parameters():
                    slow[name] = decay * slow[name] + (1 - decay) * each
                    each.copy_(slow[name])
    for name, each in network.named_parameters():
        assert torch.allclose(each, fast.get_parameter(name), atol=1e-5)
        assert torch.allclose(average.average[name], slow[name], atol=1e-5)


@pytest.mark.parametrize("num_steps", [1, 4, 5, 9])
def test_lookahead_of_a_few_steps_does_not_keep_the_initial_weights(num_steps: int) -> None:
    network = nn.Linear(1, 1)
    initial = network.weight.item()
    average = WeightAverage(config(averaging="lookahead"), network, num_steps)
    for step in range(1, num_steps + 1):
        network.weight.data += 1.0
        average.update(step)
    assert average.average["weight"].item() - initial > num_steps / 30


def test_an_average_is_swapped_in_and_out() -> None:
    network = build_model(config())
    average = WeightAverage(config(averaging="ema"), network, num_steps=10)
    _drift(network, torch.Generator().manual_seed(0))
    average.update(1)
    live, kept = network.get_parameter("dense3.weight").detach().clone(), average.average["dense3.weight"].clone()
    average.swap()
    assert torch.equal(network.get_parameter("dense3.weight"), kept)
    average.swap()
    assert torch.equal(network.get_parameter("dense3.weight"), live)
    assert torch.equal(average.average["dense3.weight"], kept)
