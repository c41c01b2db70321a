"""What a trial minimises on a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_ray.studies import TrialConfig


class Objective:
    """Mean cross-entropy, with label smoothing and mixup where the settings ask for them.

    The mixing of an epoch follows `seed` alone.
    """

    def __init__(self, config: TrialConfig, seed: int) -> None:
        self._label_smoothing = config.label_smoothing
        self._mixup = config.mixup
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and logits (B, 10) of (B, 3, 32, 32) images. Of mixed images, the logits are of the mixture."""
        if not self._mixup:
            logits = network(images)
            return self._cross_entropy(logits, labels), logits
        share = self._draw_share()
        partners = torch.randperm(len(labels), generator=self._generator).to(labels.device)
        logits = network(torch.lerp(images[partners], images, share))
        loss = share * self._cross_entropy(logits, labels) + (1 - share) * self._cross_entropy(logits, labels[partners])
        return loss, logits

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, label_smoothing=self._label_smoothing)

    def _draw_share(self) -> float:
        """From Beta(alpha, alpha); at least a half, so that an image's own label is the weightier one."""
        gammas = torch._standard_gamma(torch.full((2,), self._mixup), generator=self._generator)
        total = float(gammas.sum())
        share = float(gammas[0]) / total if total > 0 else 1.0
        return max(share, 1 - share)
