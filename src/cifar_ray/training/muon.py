"""Muon: SGD whose updates of convolutions are orthogonal (Jordan et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD

MOMENTUM = 0.6
"""Of the convolutions, as the CIFAR-10 speed runs have it; all else has the momentum of its settings."""
NUM_ITERATIONS = 3
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that drives singular values towards one: fast, and no closer than 0.7 to 1.2."""
EPSILON = 1e-7


class Muon(SGD):
    """Torch's fused SGD, but for groups marked `is_orthogonal`.

    There the step is along the nearest orthogonal matrix to the momentum, a row for each filter, and the weights are
    first brought to a norm of the root of their number of filters (Jordan, Jin, Boza, You, Cesista, Newhouse and
    Bernstein, "Muon: an optimizer for hidden layers in neural networks", 2024, as in the speed runs' code).
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float, nesterov: bool) -> None:
        super().__init__(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=True)
        for group in self.param_groups:
            if group.setdefault("is_orthogonal", False):
                # SGD takes the last part of the step alone
                group |= {"nesterov": False, "weight_decay": 0.0}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; the updates of the convolutions take the place of their gradients."""
        for group in self.param_groups:
            if not group["is_orthogonal"]:
                continue
            # which one-cycle schedules set
            group["momentum"] = 0.0
            for weight in group["params"]:
                if weight.grad is not None:
                    self._orthogonalise(weight)
        loss: float | None = super().step(closure)
        return loss

    def _orthogonalise(self, weight: Tensor) -> None:
        gradient = weight.grad
        assert gradient is not None
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum: Tensor = state["momentum"]
        momentum.mul_(MOMENTUM).add_(gradient)
        weight.mul_(len(weight) ** 0.5 / weight.norm())
        # in place: a recorded step writes the next gradient there
        gradient.copy_(orthogonal(gradient.add(momentum, alpha=MOMENTUM)))


def orthogonal(values: Tensor, num_iterations: int = NUM_ITERATIONS) -> Tensor:
    """About the nearest orthogonal matrix to (rows, …) values, in their shape, by Newton and Schulz's iteration.

    In bfloat16 products, as the authors have it.
    """
    channels_last = values.movedim(1, -1)
    matrix = channels_last.reshape(len(values), -1)
    is_tall = matrix.shape[0] > matrix.shape[1]
    matrix = (matrix.T if is_tall else matrix).bfloat16()
    matrix = matrix / (matrix.norm() + EPSILON)
    first, third, fifth = COEFFICIENTS
    for _ in range(num_iterations):
        square = matrix @ matrix.T
        matrix = first * matrix + (third * square + fifth * square @ square) @ matrix
    matrix = matrix.T if is_tall else matrix
    result: Tensor = matrix.reshape(channels_last.shape).movedim(-1, 1).to(values.dtype)
    return result
