"""Dropout whose probability is input data to compiled code, so that a new value needs no recompilation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """torch's own dropout, except in compiled code, which reads `share` from a buffer that is not checkpointed."""

    share: Tensor

    def __init__(self, share: float) -> None:
        super().__init__(share)
        self.register_buffer("share", torch.tensor(share), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Zero each value with probability `share`, else divide it by 1 - `share`; in evaluation change nothing."""
        if not (torch.compiler.is_compiling() and self.training):
            return super().forward(values)
        kept = torch.rand(values.shape, device=values.device) >= self.share
        return values * (kept / (1 - self.share)).to(values.dtype)
