"""Defines ImageSet, all decoded images of one part of a data set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cifar_ray.cifar10 import IMAGE_SHAPE
from cifar_ray.errors import DataError

Part = Literal["train", "test"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """The training or the test images, as numpy arrays: Ray's object store shares these between processes uncopied."""

    source: str
    """The string that names the data set."""
    name: str
    """What tables and figures call it."""
    images: NDArray[np.uint8]
    """(N, 3, 32, 32), RGB."""
    labels: NDArray[np.int64]
    """(N,), indices into `classes`."""
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.shape[1:] != IMAGE_SHAPE:
            raise DataError(f"{self.source}: images are {self.images.dtype} {self.images.shape}")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(f"{self.source}: labels are {self.labels.dtype} {self.labels.shape}")
        if len(self.labels) == 0:
            raise DataError(f"{self.source}: there is no image")
        check_labels(self.labels, len(self.classes), self.source)

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over shape, pixels and labels."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


def check_labels(labels: NDArray[np.int64], num_classes: int, where: str) -> None:
    """Raise DataError, naming the first row at fault, where a label is out of range."""
    bad = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(bad):
        raise DataError(
            f"{where}, row {bad[0]}: label {labels[bad[0]]} is out of range",
            f"labels are 0 to {num_classes - 1}",
        )
