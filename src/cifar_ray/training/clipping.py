"""Adaptive gradient clipping (Brock et al. 2021, arXiv 2102.06171, section 4)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

EPSILON = 1e-3
"""Least norm that a unit's weights are taken to have, so that those at zero can learn."""


def clipped_parameters(network: nn.Module) -> list[Tensor]:
    """All but the last layer's, which the paper leaves as it is."""
    last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    exempt = {id(each) for each in last.parameters()}
    return [each for each in network.parameters() if id(each) not in exempt]


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], most: float) -> None:
    """Scale the gradient of each unit down to at most that share of the norm of the unit's weights.

    A unit is what gives one output: a row of a dense layer, a filter of a convolution, an entry of a bias or gain.
    """
    for weight in parameters:
        if weight.grad is None:
            continue
        limit = _unit_norms(weight).clamp_min(EPSILON) * most
        norms = _unit_norms(weight.grad)
        weight.grad.mul_(torch.where(norms > limit, limit / norms.clamp_min(1e-6), 1.0))


def _unit_norms(values: Tensor) -> Tensor:
    if values.dim() <= 1:
        return values.abs()
    norms: Tensor = torch.linalg.vector_norm(values, dim=tuple(range(1, values.dim())), keepdim=True)
    return norms
