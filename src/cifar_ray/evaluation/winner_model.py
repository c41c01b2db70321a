"""Loads a sweep's winner as a network that is ready for use."""

from __future__ import annotations

from os import PathLike

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from cifar_ray.cifar10 import SIZE
from cifar_ray.data.packing import pack
from cifar_ray.errors import ConfigurationError
from cifar_ray.evaluation.calibration import probabilities
from cifar_ray.evaluation.judge import Judge
from cifar_ray.evaluation.winners import Winner, load_winner
from cifar_ray.storage.runs import open_sweep


class WinnerModel:
    """The network whose weights the evaluation scores, with its classes and normalisation."""

    def __init__(self, winner: Winner) -> None:
        """CheckpointError where the weights do not fit the network of their settings."""
        dataset = winner.sweep.dataset
        self._judge = Judge(winner.checkpoint, dataset, torch.device("cpu"))
        self.winner = winner
        """Its sweep, trial and checkpoint, with remarks on what was passed over to find them."""
        self.network = self._judge.model
        """In evaluation mode, on the CPU: from normalised float32 images (N, 3, 32, 32) to logits (N, classes)."""
        self.classes = dataset.classes
        self.mean, self.standard_deviation = dataset.mean, dataset.standard_deviation
        """Of each channel (RGB) of images in [0, 1], to normalise by."""

    def predict(self, images: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities, (N, classes), of RGB images (N, 3, 32, 32) that are not normalised.

        ConfigurationError for images of another shape or type.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.shape[1:] != (3, SIZE, SIZE):
            raise ConfigurationError(
                f"images are {images.dtype} {images.shape}", f"give them as uint8 (N, 3, {SIZE}, {SIZE})"
            )
        return probabilities(self._judge.logits(pack(images))) if len(images) else np.zeros((0, len(self.classes)))


def load_model(uri: str | PathLike[str]) -> WinnerModel:
    """The winner of the finished sweep at `<store>/<sweep id>`: an `s3://` URI or a folder.

    A folder that `results pull` made must have been pulled with `--checkpoints`. Errors are those of `load_sweep`;
    ConfigurationError where the sweep has no winner yet, CheckpointError where its weights are gone.
    """
    return WinnerModel(load_winner(*open_sweep(uri)))
