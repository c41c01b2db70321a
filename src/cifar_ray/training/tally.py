"""Sums up the loss and the correct predictions of an epoch."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Tally:
    """Sums for K models, kept on the device and read once an epoch, so that no step waits for the device."""

    def __init__(self, num_models: int, device: torch.device) -> None:
        self._loss = torch.zeros(num_models, device=device)
        self._num_correct = torch.zeros(num_models, device=device, dtype=torch.int64)
        self._num_images = 0

    def add(self, losses: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: (K,) mean losses, (K, B, C) logits, (B,) labels."""
        self._loss += losses.detach() * len(labels)
        self._num_correct += (logits.detach().argmax(dim=-1) == labels).sum(dim=-1)
        self._num_images += len(labels)

    def means(self) -> list[tuple[float | None, float]]:
        """For each model, mean loss (None where not finite) and accuracy. Waits for the device."""
        losses = (self._loss / self._num_images).tolist()
        # k / n to the last bit, as ASHA's cut-offs are counted: torch would divide in float32
        accuracies = [num_correct / self._num_images for num_correct in self._num_correct.tolist()]
        return [
            (loss if math.isfinite(loss) else None, accuracy) for loss, accuracy in zip(losses, accuracies, strict=True)
        ]
