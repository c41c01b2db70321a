"""Finds how confident a model is of its answers, and where it is confident and wrong."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_ray.data.image_set import ImageSet
from cifar_ray.scrutiny import Mistake, ReliabilityBin

NUM_BINS = 15
"""As in Guo et al., "On calibration of modern neural networks" (2017)."""
MAX_MISTAKES = 24


def reliability_bins(confidence: NDArray[np.float64], is_right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Confidence and accuracy in bins of equal width, (low, high]; both arrays have an entry for each image."""
    index = np.clip(np.ceil(confidence * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)
    bins = []
    for each in range(NUM_BINS):
        members = index == each
        num_images = int(members.sum())
        bins.append(
            ReliabilityBin(
                low=each / NUM_BINS,
                high=(each + 1) / NUM_BINS,
                num_images=num_images,
                confidence=float(confidence[members].mean()) if num_images else None,
                accuracy=float(is_right[members].mean()) if num_images else None,
            )
        )
    return tuple(bins)


def confident_mistakes(
    test: ImageSet, predicted: NDArray[np.int64], confidence: NDArray[np.float64]
) -> tuple[Mistake, ...]:
    """The most confident wrong answers, the most confident first; among equals the earlier image first."""
    wrong = np.flatnonzero(predicted != test.labels)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:MAX_MISTAKES]
    return tuple(
        Mistake(
            index=int(index),
            true_class=test.classes[test.labels[index]],
            predicted_class=test.classes[predicted[index]],
            confidence=float(confidence[index]),
            png=_to_png(test.images[index]),
        )
        for index in chosen
    )


def _to_png(image: NDArray[np.uint8]) -> str:
    """A (3, height, width) image as PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
