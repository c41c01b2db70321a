"""Splits the training images into a training and a validation part, stratified by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.packing import PackedImages, pack
from cifar_ray.errors import DataError
from cifar_ray.records import DatasetRecord
from cifar_ray.studies import VALIDATION_SHARE


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """What all trials of a sweep train and validate on."""

    train: PackedImages
    validation: PackedImages
    record: DatasetRecord


def split(image_set: ImageSet, seed: int, validation_share: float = VALIDATION_SHARE) -> TrainingData:
    """Split by the seed, the labels and the share alone, so that every trial of a sweep gets the same split.

    The validation images of a smaller share are among those of a larger one.
    DataError where a class has too few images for both parts, or one image alone is left to train on.
    """
    is_validation = _choose_validation(image_set.labels, seed, validation_share)
    train, validation = image_set.images[~is_validation], image_set.images[is_validation]
    if len(train) == 1:
        raise DataError(f"{image_set.source} has one image to train on, too few for a batch", "take more images")
    mean, deviation = _channel_moments(train)
    return TrainingData(
        train=PackedImages(pixels=pack(train), labels=image_set.labels[~is_validation]),
        validation=PackedImages(pixels=pack(validation), labels=image_set.labels[is_validation]),
        record=DatasetRecord(
            source=image_set.source,
            name=image_set.name,
            fingerprint=image_set.fingerprint(),
            num_train=len(train),
            num_validation=len(validation),
            classes=image_set.classes,
            mean=mean,
            standard_deviation=deviation,
            validation_share=validation_share,
        ),
    )


def _choose_validation(labels: NDArray[np.int64], seed: int, share: float) -> NDArray[np.bool_]:
    """(N,), true for that share of each class, rounded, at least one image."""
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        num_chosen = max(1, round(len(members) * share))
        if num_chosen >= len(members):
            raise DataError(f"class {label} has {len(members)} image, too few to split", "take more images")
        chosen[rng.permutation(members)[:num_chosen]] = True
    return chosen


def _channel_moments(
    images: NDArray[np.uint8],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and population standard deviation of each channel in [0, 1], exact, from histograms."""
    levels = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(3):
        counts = np.bincount(images[:, channel].ravel(), minlength=256)
        mean = float(counts @ levels / counts.sum())
        means.append(mean)
        # a constant channel is not scaled; rounded, its deviation need not be 0
        is_constant = np.count_nonzero(counts) == 1
        deviations.append(1.0 if is_constant else float(np.sqrt(counts @ (levels - mean) ** 2 / counts.sum())))
    return (means[0], means[1], means[2]), (deviations[0], deviations[1], deviations[2])
