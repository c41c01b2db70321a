"""Muon: SGD whose updates of convolutions are orthogonal (Jordan et al. 2024)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import SGD

MOMENTUM = 0.6
"""For convolutions, as in the CIFAR-10 speed runs; all other weights have the momentum of the settings."""
NUM_ITERATIONS = 3
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that drives singular values towards one: fast, but only to between 0.7 and 1.2."""
EPSILON = 1e-7


class Muon(SGD):
    """Torch's fused SGD, except for groups marked `is_orthogonal`.

    Their step is along the orthogonal matrix nearest to the momentum, a row for each filter, after the weights have
    been scaled to a norm of the square root of their number of filters (Jordan, Jin, Boza, You, Cesista, Newhouse and
    Bernstein, "Muon: an optimizer for hidden layers in neural networks", 2024, as in the speed runs' code).
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float, nesterov: bool) -> None:
        super().__init__(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=True)
        for group in self.param_groups:
            if group.setdefault("is_orthogonal", False):
                # SGD only adds the finished update to the weights
                group |= {"nesterov": False, "weight_decay": 0.0}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make a step; the updates of the convolutions replace their gradients."""
        for group in self.param_groups:
            if not group["is_orthogonal"]:
                continue
            # one-cycle schedules overwrite it
            group["momentum"] = 0.0
            alike: defaultdict[object, list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    # batching saves launches on a GPU; on a CPU the batch would not fit the caches
                    alike[weight.shape if weight.is_cuda else weight].append(weight)
            for weights in alike.values():
                self._orthogonalise(weights)
        loss: float | None = super().step(closure)
        return loss

    def _orthogonalise(self, weights: list[Tensor]) -> None:
        """Replace the gradients of weights of one shape by their updates."""
        gradients = [cast("Tensor", each.grad) for each in weights]
        for weight, gradient in zip(weights, gradients, strict=True):
            if "momentum" not in self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(gradient)
        momenta = [self.state[each]["momentum"] for each in weights]
        torch._foreach_mul_(momenta, MOMENTUM)
        torch._foreach_add_(momenta, gradients)
        for weight, norm in zip(weights, torch._foreach_norm(weights), strict=True):
            weight.mul_(len(weight) ** 0.5 / norm)
        updates = orthogonal(torch.stack(torch._foreach_add(gradients, momenta, alpha=MOMENTUM)))
        # in place: a recorded step writes the next gradients to the same memory
        torch._foreach_copy_(gradients, updates.unbind())


def orthogonal(values: Tensor, num_iterations: int = NUM_ITERATIONS) -> Tensor:
    """Approximate the orthogonal matrices nearest to (n, rows, …) values, in their shape, by Newton–Schulz iteration.

    Uses bfloat16 products, as the authors do.
    """
    channels_last = values.movedim(2, -1)
    matrices = channels_last.flatten(2)
    is_tall = matrices.shape[1] > matrices.shape[2]
    matrices = matrices.mT if is_tall else matrices
    norms = torch.linalg.vector_norm(matrices, dim=(1, 2), keepdim=True)
    matrices = (matrices / (norms + EPSILON)).bfloat16()
    first, third, fifth = COEFFICIENTS
    for _ in range(num_iterations):
        squares = matrices @ matrices.mT
        squares = torch.baddbmm(squares, squares, squares, beta=third, alpha=fifth)
        matrices = torch.baddbmm(matrices, squares, matrices, beta=first)
    matrices = matrices.mT if is_tall else matrices
    return matrices.reshape(channels_last.shape).movedim(-1, 2).to(values.dtype)
