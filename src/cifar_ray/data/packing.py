"""Packs each pixel of an image into a 32-bit word, so that augmentation moves a whole pixel at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cifar_ray.cifar10 import NUM_PIXELS


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedImages:
    """Images and labels as trials share them through Ray's object store."""

    pixels: NDArray[np.int32]
    """(N, 1024), one word a pixel, of the bytes R, G, B, 0."""
    labels: NDArray[np.int64]
    """(N,)."""

    def __len__(self) -> int:
        return len(self.labels)


def pack(images: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Pack (N, 3, 32, 32) bytes into (N, 1024) words."""
    num_images = len(images)
    words = np.zeros((num_images, NUM_PIXELS, 4), dtype=np.uint8)
    words[..., :3] = images.reshape(num_images, 3, NUM_PIXELS).transpose(0, 2, 1)
    return words.view(np.int32).reshape(num_images, NUM_PIXELS)
