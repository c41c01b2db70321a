"""Dropout whose probability is input data to compiled code, so that a new value needs no recompilation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """torch's own dropout, except in compiled code, which reads its probability from a buffer outside checkpoints."""

    probability: Tensor

    def __init__(self, probability: float) -> None:
        super().__init__(probability)
        self.register_buffer("probability", torch.tensor(probability), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Zero each value with `probability`, else divide it by 1 - `probability`; in evaluation change nothing."""
        if not (torch.compiler.is_compiling() and self.training):
            return super().forward(values)
        kept = torch.rand(values.shape, device=values.device) >= self.probability
        return values * (kept / (1 - self.probability)).to(values.dtype)
