"""The batches of a trial, as its settings ask for them."""

from __future__ import annotations

import torch

from cifar_ray.data.resident import ResidentBatches
from cifar_ray.data.split import TrainingData
from cifar_ray.studies import TrialConfig

VALIDATION_BATCH_SIZE = 1000


def training_feed(data: TrainingData, config: TrialConfig, device: torch.device, data_seed: int) -> ResidentBatches:
    """Shuffled anew each epoch, augmented if the trial wants it."""
    return ResidentBatches(
        data.train,
        batch_size=config.batch_size,
        device=device,
        mean=data.record.mean,
        standard_deviation=data.record.standard_deviation,
        shuffle=True,
        augment=config.augmentation,
        seed=data_seed,
    )


def validation_feed(data: TrainingData, device: torch.device) -> ResidentBatches:
    """In order, as they are."""
    return ResidentBatches(
        data.validation,
        batch_size=VALIDATION_BATCH_SIZE,
        device=device,
        mean=data.record.mean,
        standard_deviation=data.record.standard_deviation,
        shuffle=False,
        augment=False,
        seed=0,
    )
