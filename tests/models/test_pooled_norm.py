"""Batch norm, pooling and ReLU in one: what torch's three layers give, with the same gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cifar_ray.models.pooled_norm import Norm, norm_pool_relu

NUM_CHANNELS = 12
NORMED = np.array([0, 1, 2, 6, 7, 8])


class Layers:
    """Both forms of the same layers, on the same values."""

    def __init__(self, dtype: torch.dtype, *, is_training: bool = True) -> None:
        generator = torch.Generator().manual_seed(0)

        def draw(*size: int) -> Tensor:
            return torch.randn(size, generator=generator)

        self.is_training = is_training
        self.values = (2 + draw(8, NUM_CHANNELS, 10, 6)).to(dtype).contiguous(memory_format=torch.channels_last)
        of_norm = torch.float64 if dtype == torch.float64 else torch.float32
        self.weight, self.bias, self.running_mean = (draw(len(NORMED)).to(of_norm) for _ in range(3))
        self.running_var = draw(len(NORMED)).to(of_norm).exp()
        self.gradient = draw(8, NUM_CHANNELS, 5, 3).to(dtype)

    def ours(self, values: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        norm = Norm(weight=weight, bias=bias, running_mean=mean, running_var=var, channels=NORMED)
        # the convolution's output, which is written over
        return norm_pool_relu(values * 1, norm, is_training=self.is_training)

    def plain(self, values: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        normed = functional.batch_norm(values[:, NORMED], mean, var, weight, bias, self.is_training)
        return functional.relu(functional.max_pool2d(values.index_copy(1, torch.from_numpy(NORMED), normed), 2))

    def run(self, layers: Callable[..., Tensor]) -> dict[str, Tensor]:
        inputs = [each.clone().requires_grad_() for each in (self.values, self.weight, self.bias)]
        mean, var = self.running_mean.clone(), self.running_var.clone()
        result = layers(*inputs, mean, var)
        result.backward(self.gradient)
        gradients = dict(zip(("by values", "by weight", "by bias"), (each.grad for each in inputs), strict=True))
        return {"result": result.detach(), "mean": mean, "var": var, **gradients}


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-6)])
def test_is_the_three_layers(dtype: torch.dtype, tolerance: float, is_training: bool) -> None:
    layers = Layers(dtype, is_training=is_training)
    ours, plain = layers.run(layers.ours), layers.run(layers.plain)
    torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_mean_far_above_the_deviation_leaves_the_variance_its_digits(dtype: torch.dtype) -> None:
    layers = Layers(dtype)
    layers.values = 100 + layers.values
    exact = layers.values[:, NORMED].double().var((0, 2, 3))
    expected = torch.lerp(layers.running_var.double(), exact, 0.1)
    torch.testing.assert_close(layers.run(layers.ours)["var"], expected, rtol=1e-6, atol=0, check_dtype=False)


def test_bfloat16_is_rounded_once() -> None:
    layers = Layers(torch.bfloat16)
    ours = layers.run(layers.ours)
    layers.values, layers.gradient = layers.values.float(), layers.gradient.float()
    exact = layers.run(layers.ours)
    rounded = {name: exact[name].bfloat16() for name in ("result", "by values")}
    torch.testing.assert_close(ours, exact | rounded, rtol=0, atol=0)


def test_channels_without_norm_stay_as_they_are() -> None:
    values = torch.randn(4, 5, 8, 8).contiguous(memory_format=torch.channels_last)
    expected = functional.relu(functional.max_pool2d(values, 2))
    assert torch.equal(norm_pool_relu(values, None, is_training=True), expected)


def test_what_is_not_a_number_stays_in_its_channel() -> None:
    layers = Layers(torch.float32)
    layers.values[3, 6, 4, 5] = torch.nan
    ours, plain = layers.run(layers.ours), layers.run(layers.plain)
    for name in ("result", "mean", "var"):
        assert torch.equal(ours[name].isnan(), plain[name].isnan()), name
    for name in ("result", "by values"):
        assert ours[name].isnan().any(dim=(0, 2, 3)).nonzero().flatten().tolist() == [6], name


def test_differentiates_once() -> None:
    values = torch.randn(2, 3, 4, 4, requires_grad=True)
    total = norm_pool_relu(values * 1, None, is_training=True).sum()
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass"):
        total.backward()
