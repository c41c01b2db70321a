"""The opponent's data path: PIL images one by one through torchvision's transforms into a DataLoader."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cifar_ray.data.packing import PackedImages
from cifar_ray.data.split import TrainingData
from cifar_ray.records import DatasetRecord
from cifar_ray.studies import TrialConfig
from cifar_ray.torchvision_import import torchvision

VALIDATION_BATCH_SIZE = 256
"""Lightning's CIFAR-10 tutorial takes it for both parts."""
WORKER_CHOICES = (0, 2)
"""Numbers of DataLoader workers that are tried; the faster is the opponent."""


class TutorialImages(Dataset[tuple[Tensor, int]]):
    """Bytes in memory, an image of PIL's at each access, as torchvision's own CIFAR10 has it."""

    def __init__(self, images: PackedImages, transform: Any) -> None:
        words = images.pixels.view(np.uint8).reshape(len(images), 32, 32, 4)
        self._images = np.ascontiguousarray(words[..., :3])
        self._labels = images.labels.tolist()
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), self._labels[index]


def build_transform(record: DatasetRecord, *, augment: bool) -> Any:
    """Crop, flip and rotation if wanted, then a normalised tensor."""
    transforms = torchvision.transforms
    moves = [
        transforms.RandomCrop(32, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(15),
    ]
    end = [transforms.ToTensor(), transforms.Normalize(record.mean, record.standard_deviation)]
    return transforms.Compose(moves + end if augment else end)


def training_loader(data: TrainingData, config: TrialConfig, num_workers: int) -> DataLoader[Any]:
    """Shuffled, augmented if the trial wants it."""
    transform = build_transform(data.record, augment=config.augmentation)
    return DataLoader(
        TutorialImages(data.train, transform),
        batch_size=config.batch_size,
        shuffle=True,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )


def validation_loader(data: TrainingData, num_workers: int) -> DataLoader[Any]:
    """In order, as they are."""
    return DataLoader(
        TutorialImages(data.validation, build_transform(data.record, augment=False)),
        batch_size=VALIDATION_BATCH_SIZE,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )
