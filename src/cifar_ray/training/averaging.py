"""Averages a network's weights over the training steps; the average is what is validated and saved."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cifar_ray.studies import TrialConfig

EMA_DECAY = 0.999
EVERY = 5
"""Steps of the fast weights between two updates of lookahead's slow ones; 1 in trainings of fewer than ten."""
LOOKAHEAD_DECAY = 0.95


class WeightAverage:
    """EMA or lookahead over all floating-point weights and statistics of a network.

    `ema` decays by 0.999 a step, less at the start: (1 + t) / (10 + t). `lookahead` (Zhang et al., arXiv 1907.08610),
    in the variant of the CIFAR-10 speed runs, moves slow weights towards the fast ones every EVERY steps, by less as
    training progresses, and sets the fast ones to them.
    """

    def __init__(self, config: TrialConfig, network: nn.Module, num_steps: int) -> None:
        self._is_lookahead = config.averaging == "lookahead"
        self._num_steps = num_steps
        # trainings of a few steps would keep their initial weights, or nearly
        self._every = EVERY if num_steps >= 2 * EVERY else 1
        self.follow(network)
        self._average = {name: each.clone() for name, each in self._live.items()}

    def follow(self, network: nn.Module) -> None:
        """Look the network's weights up again, after they have moved to other memory with their values unchanged."""
        self._live = {name: each for name, each in network.state_dict().items() if each.is_floating_point()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the weights after `step`, counted from 1."""
        live, average = list(self._live.values()), list(self._average.values())
        if not self._is_lookahead:
            torch._foreach_lerp_(average, live, 1 - min(EMA_DECAY, (1 + step) / (10 + step)))
        elif step % self._every == 0:
            decay = LOOKAHEAD_DECAY**self._every * (step / self._num_steps) ** 3
            torch._foreach_lerp_(average, live, 1 - decay)
            torch._foreach_copy_(live, average)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the network's weights and the average."""
        for name, live in self._live.items():
            kept = live.clone()
            live.copy_(self._average[name])
            self._average[name].copy_(kept)

    @property
    def average(self) -> Mapping[str, Tensor]:
        """The average by name, as in the network's `state_dict()`."""
        return self._average

    @torch.no_grad()
    def load(self, average: Mapping[str, Tensor]) -> None:
        """Continue from an earlier average."""
        for name, value in self._average.items():
            value.copy_(average[name])
