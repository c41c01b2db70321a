"""Builds the training and validation batches that a trial's settings ask for."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from cifar_ray.cifar10 import SIZE
from cifar_ray.data.augmentation import Augmentation
from cifar_ray.data.packing import PackedImages
from cifar_ray.data.resident import ResidentBatches
from cifar_ray.data.split import TrainingData
from cifar_ray.studies import TrialConfig

VALIDATION_BATCH_SIZE = 1000
SMALL_SHARE = Fraction(2, 3)
"""Share of the epochs, from the first on, whose images have the side `first_size`."""
SAMPLE_SIZE = 5000
"""Images to which a network's first layer is fitted, as in the speed runs."""


def training_feed(data: TrainingData, config: TrialConfig, device: torch.device, data_seed: int) -> ResidentBatches:
    """Training batches, reshuffled every epoch and augmented if the settings say so."""
    return ResidentBatches(
        data.train,
        normalisation=data.record,
        batch_size=config.batch_size,
        device=device,
        shuffle=True,
        augment=_augmentation(config) if config.augmentation else None,
        seed=data_seed,
        cutout=config.cutout,
    )


def image_size(config: TrialConfig, epoch: int) -> int:
    """Side of an epoch's training images; epochs from 1."""
    return config.first_size if epoch <= config.max_epochs * SMALL_SHARE else SIZE


def sample_images(data: TrainingData) -> Tensor:
    """The first training images, normalised, (n, 3, 32, 32) on the CPU."""
    images = PackedImages(pixels=data.train.pixels[:SAMPLE_SIZE], labels=data.train.labels[:SAMPLE_SIZE])
    device = torch.device("cpu")
    feed = ResidentBatches(images, normalisation=data.record, batch_size=len(images), device=device)
    (((sample, _),),) = feed
    return sample


def validation_feed(data: TrainingData, device: torch.device) -> ResidentBatches:
    """Validation batches, in order and not augmented."""
    return ResidentBatches(data.validation, normalisation=data.record, batch_size=VALIDATION_BATCH_SIZE, device=device)


def _augmentation(config: TrialConfig) -> Augmentation:
    return Augmentation(
        rotation=config.rotation,
        padding=config.crop_padding,
        border=config.crop_border,
        alternating_flip=config.alternating_flip,
    )
