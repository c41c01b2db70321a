"""Measures a device's peak FLOP/s, and counts those of a training step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from cifar_ray.models import build_model
from cifar_ray.studies import TrialConfig


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A 3x3 convolution with as many output as input channels."""

    num_channels: int
    size: int
    """Height and width."""
    batch_size: int

    @property
    def flops(self) -> int:
        """Of one forward pass; a multiplication and an addition count as two."""
        return 2 * 9 * self.num_channels**2 * self.size**2 * self.batch_size

    def __str__(self) -> str:
        return f"3x3 {self.num_channels}->{self.num_channels} at {self.size}x{self.size}, batch {self.batch_size}"


def product_rate(device: torch.device, dtype: torch.dtype, size: int, budget_s: float) -> float:
    """FLOP/s of the product of two square matrices."""
    left, right = torch.randn(2, size, size, device=device).to(dtype)
    return 2 * size**3 / _time_call(lambda: left @ right, device, budget_s)


def convolution_rate(device: torch.device, dtype: torch.dtype, shape: Convolution, budget_s: float) -> float:
    """FLOP/s of the forward pass, channels last."""
    channels, size = shape.num_channels, shape.size
    images = torch.randn(shape.batch_size, channels, size, size, device=device)
    images = images.to(dtype=dtype, memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3, device=device)
    weight = weight.to(dtype=dtype, memory_format=torch.channels_last)
    # with cuDNN, which these flags otherwise turn off, and its own search for the fastest algorithm
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        return shape.flops / _time_call(lambda: functional.conv2d(images, weight, padding=1), device, budget_s)


def training_flops(config: TrialConfig) -> int:
    """Of one training step of a batch, forward and backward, counted on the meta device."""
    network = build_model(config).to("meta")
    images = torch.empty(config.batch_size, 3, 32, 32, device="meta")
    with FlopCounterMode(display=False) as counter:
        network(images).sum().backward()
    return int(counter.get_total_flops())


def _time_call(call: Callable[[], Tensor], device: torch.device, budget_s: float) -> float:
    """Mean seconds of a call, over as many as fit the budget, after a warm-up."""
    with torch.inference_mode():
        _time_calls(call, device, 2)
        once = _time_calls(call, device, 2)
        return _time_calls(call, device, max(3, round(budget_s / once)))


def _time_calls(call: Callable[[], Tensor], device: torch.device, count: int) -> float:
    _synchronize(device)
    started = time.perf_counter()
    for _ in range(count):
        call()
    _synchronize(device)
    return (time.perf_counter() - started) / count


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
