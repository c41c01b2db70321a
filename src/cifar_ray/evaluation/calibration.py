"""Measures calibration, the gap between confidence and accuracy, and fits the temperature that narrows it.

As in Guo et al., "On calibration of modern neural networks" (2017).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cifar_ray.evaluation.confidence import reliability_bins
from cifar_ray.scrutiny import Calibration

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
"""Bounds of the fit: where all answers are right, or all are meaningless, the best temperature is unbounded."""

Logits = NDArray[np.float64]
"""(N, classes)."""
Labels = NDArray[np.int64]
"""(N,)."""


def calibrate(validation: tuple[Logits, Labels], test: tuple[Logits, Labels]) -> Calibration:
    """Error and loss on `test`, as it is and with the temperature that is fitted to `validation`."""
    temperature = fit_temperature(*validation)
    logits, labels = test
    return Calibration(
        temperature=temperature,
        error=calibration_error(logits, labels),
        scaled_error=calibration_error(logits / temperature, labels),
        loss=cross_entropy(logits, labels),
        scaled_loss=cross_entropy(logits / temperature, labels),
    )


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """Minimise the cross-entropy, convex in the inverse temperature, by finding where its derivative changes sign."""
    true = logits[np.arange(len(labels)), labels]
    low, high = math.log(1 / MAX_TEMPERATURE), math.log(1 / MIN_TEMPERATURE)
    while high - low > 1e-7:
        middle = (low + high) / 2
        expected = (probabilities(math.exp(middle) * logits) * logits).sum(axis=1)
        low, high = (low, middle) if (expected - true).mean() > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def calibration_error(logits: Logits, labels: Labels) -> float:
    """Expected calibration error: the gap between confidence and accuracy in each bin, weighted by its images."""
    shares = probabilities(logits)
    bins = reliability_bins(shares.max(axis=1), shares.argmax(axis=1) == labels)
    gaps = (each.num_images * abs((each.confidence or 0.0) - (each.accuracy or 0.0)) for each in bins)
    return math.fsum(gaps) / len(labels)


def cross_entropy(logits: Logits, labels: Labels) -> float:
    """Mean cross-entropy, in nats."""
    highest = logits.max(axis=1)
    normaliser = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    return float((normaliser - logits[np.arange(len(labels)), labels]).mean())


def probabilities(logits: Logits) -> NDArray[np.float64]:
    """Softmax of the logits, (N, classes)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares
