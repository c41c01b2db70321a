"""Records of a winner besides its accuracy: calibration, robustness, scores of other seeds, mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from cifar_ray.errors import RecordError
from cifar_ray.json_record import Record


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin(Record):
    """Test images whose predicted class has a probability in (low, high]."""

    low: float
    high: float
    num_images: int
    confidence: float | None
    """Mean probability of the predicted class; None where the bin is empty."""
    accuracy: float | None
    """None where the bin is empty."""


@dataclass(frozen=True, kw_only=True)
class Mistake(Record):
    """A test image that was taken for another class."""

    index: int
    """In the test set, from 0."""
    true_class: str
    predicted_class: str
    confidence: float
    """Probability of the predicted class."""
    png: str
    """The image, as PNG in base64."""


@dataclass(frozen=True, kw_only=True)
class SeedScore(Record):
    """One of the trainings of a configuration that was trained on several seeds."""

    trial_id: str
    """In the sweep's finals."""
    seed: int
    epoch: int
    """The one with the best validation accuracy, whose weights were scored."""
    validation_accuracy: float
    accuracy: float
    """On the test set."""


@dataclass(frozen=True, kw_only=True)
class Calibration(Record):
    """How far a model's confidence is from its accuracy, before and after temperature scaling (Guo et al. 2017)."""

    temperature: float
    """Divides the logits; chosen for the lowest cross-entropy on the validation images."""
    error: float
    """Expected calibration error on the test images: the mean gap over bins of confidence, 15 of equal width."""
    scaled_error: float
    loss: float
    """Mean cross-entropy on the test images."""
    scaled_loss: float


@dataclass(frozen=True, kw_only=True)
class Robustness(Record):
    """Accuracy on corrupted test images, made as Hendrycks and Dietterich (2019) do: not their data set."""

    num_images: int
    """A seeded draw from the test set: the same images, clean and with each corruption."""
    clean: float
    """Accuracy on them as they are."""
    corrupted: Mapping[str, tuple[float, ...]]
    """Accuracies by corruption, from its mildest severity to its worst."""

    def __post_init__(self) -> None:
        if not any(self.corrupted.values()):
            raise RecordError("Robustness.corrupted: no accuracy on any corruption")

    @property
    def mean(self) -> float:
        """The mean accuracy over all corruptions and severities."""
        return fmean(value for accuracies in self.corrupted.values() for value in accuracies)
