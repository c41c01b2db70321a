"""Makes batches from images that are kept on the trial's device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cifar_ray.cifar10 import NUM_PIXELS, SIZE
from cifar_ray.data.augmentation import Augmentation, AugmentationDraws, Augmenter, alternate, draw
from cifar_ray.data.packing import PackedImages
from cifar_ray.records import DatasetRecord

MAX_BLOCK = 512
"""Images augmented and normalised at once: enough to make the cost per step small, few enough for a CPU's cache."""
MAX_BLOCK_ON_ACCELERATOR = 8192
"""The same on an accelerator, where only kernel launches count: 100 MB as float32."""

Block = Sequence[tuple[Tensor, Tensor]]
"""Consecutive batches, made together: normalised float32 (B, 3, S, S), channels-last, and int64 labels (B,)."""


class ResidentBatches:
    """An iterable of blocks for Lightning's Trainer: one pass is one epoch.

    The order and the augmentation of an epoch depend on the seed and the epoch alone: all trials of a sweep see
    the same, and a resumed trial continues as if it had never stopped. What is left of the images for a last training
    batch is left out where it is one image, which batch norm cannot use, or less than an eighth of a batch: a whole
    step by so few has cost up to a third of the accuracy (docs/methods.md).
    """

    def __init__(
        self,
        images: PackedImages,
        *,
        normalisation: DatasetRecord,
        batch_size: int,
        device: torch.device,
        shuffle: bool = False,
        augment: Augmentation | None = None,
        seed: int = 0,
        cutout: int = 0,
    ) -> None:
        """By default images are in order and unchanged but for normalisation by the data set's recorded moments."""
        self._pixels = _to_tensor(images.pixels).to(device)
        self._labels = _to_tensor(images.labels).to(device)
        self._batch_size = batch_size
        self._device = device
        scale = 1 / (255 * torch.tensor(normalisation.standard_deviation, device=device))
        shift = -torch.tensor(normalisation.mean, device=device) * 255 * scale
        # for all values of an image, since broadcasting three is slow on the CPU
        self._scale, self._shift = scale.repeat(NUM_PIXELS), shift.repeat(NUM_PIXELS)
        self._shuffle = shuffle
        self._augmentation = augment
        self._augmenter = Augmenter(device, augment) if augment else None
        self._cutout = cutout
        self._seed = seed
        self._epoch, self._size = 0, SIZE
        rest = len(images) % batch_size
        is_too_few = rest == 1 or 8 * rest < batch_size <= len(images)
        self._num_used = len(images) - rest if shuffle and is_too_few else len(images)
        most = MAX_BLOCK if device.type == "cpu" else MAX_BLOCK_ON_ACCELERATOR
        self._block_size = max(1, most // batch_size) * batch_size

    def set_epoch(self, epoch: int, size: int = SIZE) -> None:
        """Set the epoch of the next pass, and the side to which its images are shrunk."""
        self._epoch, self._size = epoch, size

    @property
    def num_batches(self) -> int:
        """Batches in one pass."""
        return -(-self._num_used // self._batch_size)

    def __len__(self) -> int:
        return -(-self._num_used // self._block_size)

    def __iter__(self) -> Iterator[Block]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        num_images = len(self._labels)
        order = torch.randperm(num_images, generator=generator) if self._shuffle else torch.arange(num_images)
        draws = self._draw(order, generator)
        centres = torch.randint(SIZE, (num_images, 2), generator=generator).to(self._device) if self._cutout else None
        order = order.to(self._device)
        for start in range(0, self._num_used, self._block_size):
            rows = slice(start, min(start + self._block_size, self._num_used))
            pixels = self._pixels.index_select(0, order[rows])
            if self._augmenter is not None and draws is not None:
                pixels = self._augmenter(pixels, draws[rows])
            images, labels = self._normalise(pixels), self._labels.index_select(0, order[rows])
            if centres is not None:
                images = cut_out(images, centres[rows], self._cutout)
            if self._size != SIZE:
                images = _shrink(images, self._size)
            yield list(zip(torch.split(images, self._batch_size), torch.split(labels, self._batch_size), strict=True))

    def _draw(self, order: Tensor, generator: torch.Generator) -> AugmentationDraws | None:
        if self._augmentation is None:
            return None
        draws = draw(len(order), generator, self._augmentation)
        if self._augmentation.alternating_flip:
            draws = replace(draws, flip=alternate(order, self._seed, self._epoch))
        return draws.to(self._device)

    def _normalise(self, pixels: Tensor) -> Tensor:
        """(n, 1024) int32 to (n, 3, 32, 32), channels-last already, since the bytes of a pixel are contiguous."""
        channels = pixels.view(torch.uint8).view(len(pixels), NUM_PIXELS, 4)[..., :3]
        values = channels.contiguous().view(len(pixels), -1).to(torch.float32)
        torch.addcmul(self._shift, values, self._scale, out=values)
        return values.view(len(pixels), SIZE, SIZE, 3).permute(0, 3, 1, 2)


def cut_out(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """Cutout (DeVries and Taylor, arXiv 1708.04552): sets a square of each normalised image to the mean.

    Images are (n, 3, H, W); `centres` are (n, 2), row and column. What of a square lies beyond the border is cut off.
    """
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    top, left = (centres - side // 2).unbind(1)
    in_rows = (rows >= top[:, None]) & (rows < top[:, None] + side)
    in_columns = (columns >= left[:, None]) & (columns < left[:, None] + side)
    # a clone keeps the memory format, which `masked_fill` does not
    return images.clone().masked_fill_((in_rows[:, :, None] & in_columns[:, None, :])[:, None], 0.0)


def _shrink(images: Tensor, size: int) -> Tensor:
    """(n, 3, 32, 32) to (n, 3, size, size), channels-last, with the antialiased bilinear filter."""
    images = functional.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return images.contiguous(memory_format=torch.channels_last)


def _to_tensor(array: NDArray[np.generic]) -> Tensor:
    """A tensor over the array's own memory, which Ray's object store keeps read-only. We only read it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
