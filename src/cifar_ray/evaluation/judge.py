"""Runs a winner's network on images."""

from __future__ import annotations

from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.packing import PackedImages, pack
from cifar_ray.data.resident import ResidentBatches
from cifar_ray.evaluation.corruptions import CORRUPTIONS, corrupt
from cifar_ray.models import build_model
from cifar_ray.records import DatasetRecord
from cifar_ray.scrutiny import Robustness
from cifar_ray.storage.checkpoints import Checkpoint
from cifar_ray.studies import TrialConfig
from cifar_ray.training.state import load_weights

BATCH_SIZE = 1000
NUM_CORRUPTED = 1000
"""Test images that are corrupted, 15 times each: one and a half passes, beside the evaluation's two."""


class Judge:
    """A checkpoint's network, applied to images of a data set."""

    def __init__(self, checkpoint: Checkpoint, dataset: DatasetRecord, device: torch.device) -> None:
        """CheckpointError where the weights do not fit the network of the checkpoint's settings."""
        self._dataset = dataset
        self._device = device
        self.config = TrialConfig.from_dict(checkpoint.config)
        self.model = build_model(self.config)
        load_weights(self.model, checkpoint.weights)
        self.model.to(device).eval()

    @torch.inference_mode()
    def logits(self, pixels: NDArray[np.int32]) -> NDArray[np.float64]:
        """Logits (N, classes), computed in float32, of packed images (N, 1024), in their order, not augmented."""
        images = PackedImages(pixels=pixels, labels=np.zeros(len(pixels), dtype=np.int64))
        feed = ResidentBatches(images, normalisation=self._dataset, batch_size=BATCH_SIZE, device=self._device)
        # full float32 on an accelerator too: cuDNN's default, TF32, would lose half of the digits
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            logits = torch.cat([self.model(batch) for batch, _ in chain.from_iterable(feed)])
        found: NDArray[np.float64] = logits.double().cpu().numpy()
        return found

    def accuracy(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
        """The share of the images that the network gets right."""
        return float((self.logits(pack(images)).argmax(axis=1) == labels).mean())

    def robustness(self, test: ImageSet) -> Robustness:
        """Accuracy on at most NUM_CORRUPTED of the images, the same ones clean and with each corruption."""
        chosen = np.sort(np.random.default_rng(0).permutation(len(test.labels))[:NUM_CORRUPTED])
        images, labels = test.images[chosen], test.labels[chosen]
        return Robustness(
            num_images=len(chosen),
            clean=self.accuracy(images, labels),
            corrupted={
                name: tuple(
                    self.accuracy(corrupt(images, name, severity), labels) for severity in range(len(strengths))
                )
                for name, (_, strengths) in CORRUPTIONS.items()
            },
        )
