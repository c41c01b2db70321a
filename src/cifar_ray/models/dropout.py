"""Drop-out whose share is data to compiled code, so that another one compiles nothing anew."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """torch's own, but for compiled code, which reads the share from a buffer that no checkpoint holds."""

    share: Tensor

    def __init__(self, share: float) -> None:
        super().__init__(share)
        self.register_buffer("share", torch.tensor(share), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Each value zero with probability `share`, else divided by what is left of one; as they are in evaluation."""
        if not (torch.compiler.is_compiling() and self.training):
            return super().forward(values)
        kept = torch.rand(values.shape, device=values.device) >= self.share
        return values * (kept / (1 - self.share)).to(values.dtype)
