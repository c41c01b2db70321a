"""Computes the loss that a trial minimises on a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_ray.studies import TrialConfig

BESIDE_DROPOUT = 50_000
"""Offset of mixup's seed from that of dropout: no epoch of these or of other weights has the resulting seed."""
SMALLEST_GAMMA = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """A batch, mixed if the settings say so, and what its loss needs."""

    images: Tensor
    """(B, 3, S, S)."""
    labels: Tensor
    """(B,)."""
    partner_labels: Tensor | None
    """(B,) labels of the images that are mixed in; None without mixup."""
    share: float
    """Weight of an image's own label in the loss."""
    label_smoothing: float


class Objective:
    """Mean cross-entropy, with label smoothing and mixup where the settings ask for them.

    An epoch's mixup depends only on `seed` and on whether there is dropout.
    """

    def __init__(self, config: TrialConfig, seed: int) -> None:
        self._label_smoothing = config.label_smoothing
        self._mixup = config.mixup
        # dropout has a generator of the same seed: on a CPU both would draw the same bits
        self._generator = torch.Generator().manual_seed(seed + (BESIDE_DROPOUT if config.dropout else 0))

    def prepare(self, images: Tensor, labels: Tensor) -> Example:
        """Apply mixup to a batch, if the settings ask for it."""
        share, partner_labels = 1.0, None
        if self._mixup:
            share = self._draw_share()
            # from pinned memory, so that the CPU need not wait until a GPU has caught up
            partners = torch.randperm(len(labels), generator=self._generator, pin_memory=labels.is_cuda)
            partners = partners.to(labels.device, non_blocking=True)
            images, partner_labels = torch.lerp(images[partners], images, share), labels[partners]
        return Example(
            images=images,
            labels=labels,
            partner_labels=partner_labels,
            share=share,
            label_smoothing=self._label_smoothing,
        )

    def _draw_share(self) -> float:
        """Draw from Beta(alpha, alpha), at least a half, so that an image's own label weighs more."""
        gammas = torch._standard_gamma(torch.full((2,), self._mixup), generator=self._generator)
        total = float(gammas.sum())
        # torch draws no gamma below float32's smallest; of a small alpha most are, and two of them say nothing
        share = float(gammas[0]) / total if total > 2 * SMALLEST_GAMMA else 1.0
        return max(share, 1 - share)


def evaluate(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    partner_labels: Tensor | None,
    share: float | Tensor,
    label_smoothing: float | Tensor,
) -> tuple[Tensor, Tensor]:
    """Loss and detached logits (B, 10) of (B, 3, S, S) images, which mixup may have mixed.

    For compiled code `share` and `label_smoothing` are tensors (), so that a new value needs no recompilation.
    """
    logits = network(images)
    loss = _cross_entropy(logits, labels, label_smoothing)
    if partner_labels is not None:
        loss = share * loss + (1 - share) * _cross_entropy(logits, partner_labels, label_smoothing)
    return loss, logits.detach()


def _cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float | Tensor) -> Tensor:
    if not isinstance(label_smoothing, Tensor):
        return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    log_shares = functional.log_softmax(logits.float(), dim=1)
    of_labels = functional.nll_loss(log_shares, labels)
    return (1 - label_smoothing) * of_labels - label_smoothing * log_shares.mean()
