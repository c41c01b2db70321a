"""Applies common corruptions to images, on the fly.

Follows Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations"
(2019): some of their kinds, at the first, third and fifth of the severities that their code has for CIFAR-10. As the
kinds are few and made here, from whatever copy of the test set there is, no figure compares with those on CIFAR-10-C.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""(N, 3, height, width), RGB."""
Shares = NDArray[np.float64]
"""The same shape, 0 to 1."""

_BLUR_RADIUS = 4
"""In pixels: four standard deviations of the strongest blur."""


def corrupt(images: Pixels, name: str, severity: int) -> Pixels:
    """The images with one of CORRUPTIONS; severities count from 0. The same images give the same result."""
    corruption, strengths = CORRUPTIONS[name]
    return corruption(images, strengths[severity])


def _noise(images: Pixels, deviation: float) -> Pixels:
    """Gaussian noise, independent in every channel of every pixel."""
    rng = np.random.default_rng(0)
    return _to_pixels(images / 255 + rng.normal(0, deviation, images.shape))


def _blur(images: Pixels, deviation: float) -> Pixels:
    """Gaussian blur, `deviation` in pixels; the border's colours are repeated beyond it."""
    offsets = np.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1)
    weights = np.exp(-(offsets**2) / (2 * deviation**2))
    weights /= weights.sum()
    blurred: Shares = images / 255
    for axis in (2, 3):
        padding = [(0, 0)] * axis + [(_BLUR_RADIUS, _BLUR_RADIUS)] + [(0, 0)] * (3 - axis)
        padded, length = np.pad(blurred, padding, mode="edge"), blurred.shape[axis]
        parts = [weight * padded.take(range(start, start + length), axis) for start, weight in enumerate(weights)]
        blurred = np.sum(parts, axis=0)
    return _to_pixels(blurred)


def _brightness(images: Pixels, amount: float) -> Pixels:
    """Add `amount` to the value (V of HSV)."""
    shares = images / 255
    value = shares.max(axis=1, keepdims=True)
    brighter = np.minimum(value + amount, 1)
    # hue and saturation stay if all channels grow in proportion; black becomes grey
    return _to_pixels(np.where(value > 0, shares * brighter / np.where(value > 0, value, 1), brighter))


def _contrast(images: Pixels, share: float) -> Pixels:
    """Keep that share of each pixel's distance from its channel's mean in the image."""
    shares = images / 255
    mean = shares.mean(axis=(2, 3), keepdims=True)
    return _to_pixels(mean + share * (shares - mean))


def _jpeg(images: Pixels, quality: float) -> Pixels:
    """Compress as JPEG and decode again."""
    return np.stack([_recompressed(image, int(quality)) for image in images])


def _recompressed(image: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer)).transpose(2, 0, 1)


def _to_pixels(shares: Shares) -> Pixels:
    pixels: Pixels = np.rint(shares.clip(0, 1) * 255).astype(np.uint8)
    return pixels


CORRUPTIONS: Mapping[str, tuple[Callable[[Pixels, float], Pixels], tuple[float, ...]]] = {
    "noise": (_noise, (0.04, 0.08, 0.10)),
    "blur": (_blur, (0.4, 0.7, 1.0)),
    "brightness": (_brightness, (0.05, 0.15, 0.3)),
    "contrast": (_contrast, (0.75, 0.4, 0.15)),
    "JPEG": (_jpeg, (80, 58, 40)),
}
"""By name: the function that applies it, and its strengths from the mildest severity to the worst."""
