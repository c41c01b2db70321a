"""Adaptive gradient clipping (Brock et al. 2021, arXiv 2102.06171, section 4)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

EPSILON = 1e-3
"""Lower bound on the norm of a unit's weights, so that weights at zero can learn."""
TINY = 1e-30
"""Lower bound on the norm of a gradient, which is a divisor."""


def clipped_parameters(network: nn.Module) -> list[Tensor]:
    """All parameters but those of the last dense layer, which the paper does not clip."""
    last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1:]
    exempt = {id(each) for layer in last for each in layer.parameters()}
    return [each for each in network.parameters() if id(each) not in exempt]


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], most: float) -> None:
    """Scale each unit's gradient down to a norm of at most `most` times that of the unit's weights.

    A unit is a row of a dense layer, a filter of a convolution, or a whole bias or gain, as in the authors' code.
    """
    pairs = [(each, each.grad) for each in parameters if each.grad is not None]
    if not pairs:
        return
    weights, gradients = zip(*pairs, strict=True)
    # for the whole network at once, since on an accelerator each kernel launch counts
    limits = torch._foreach_mul(torch._foreach_clamp_min(_unit_norms(weights), EPSILON), most)
    norms = torch._foreach_clamp_min(_unit_norms(gradients), TINY)
    torch._foreach_mul_(gradients, torch._foreach_clamp_max(torch._foreach_div(limits, norms), 1.0))


def _unit_norms(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Each tensor's norms: (n, 1, …) for n units, or () where it is a single unit."""
    return [
        torch.linalg.vector_norm(each, dim=tuple(range(1, each.dim())) or None, keepdim=each.dim() > 1)
        for each in tensors
    ]
