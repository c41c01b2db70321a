"""Randomly crops, flips and rotates batches of packed images, as one gather on any device.

Equal to torchvision's RandomCrop(32, padding=4), RandomHorizontalFlip and RandomRotation(15) in this order, with
nearest-neighbour rotation and black fill, except that angles are multiples of half a degree: the nearest of them is
less than 0.1 pixels away anywhere in a 32x32 image, and 61 angles fit a table. `Augmentation` holds the variations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cifar_ray.cifar10 import SIZE
from cifar_ray.studies.trial_config import Border

PADDING = 4
PADDED = SIZE + 2 * PADDING
NUM_ANGLES = 61
DEGREES_PER_STEP = 0.5
OUTSIDE = PADDED**2
"""The tables' index for an output pixel whose source lies outside the crop: the first one past the padded image."""
LENGTH = OUTSIDE + 2 * PADDING * (PADDED + 1) + 1
"""Pixels of a padded image with enough black after it to stay in range at any crop's offset."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training images are augmented; by default as in the report."""

    rotation: bool = True
    padding: int = PADDING
    """Pixels by which the crop may extend beyond the image, 0 to 4."""
    border: Border = "black"
    """What the crop sees beyond the image; pixels that a rotation brings in are always black."""
    alternating_flip: bool = False
    """Flip each image every other epoch, a random half of them from the first epoch on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AugmentationDraws:
    """How each of N images is moved; all (N,)."""

    top: Tensor
    """First row of the crop in the padded image, 0 to 8."""
    left: Tensor
    """First column, 0 to 8."""
    flip: Tensor
    """0 or 1."""
    angle_index: Tensor
    """0 to 60: -15 to 15 degrees, counter-clockwise, in half degrees."""

    def __getitem__(self, rows: slice) -> AugmentationDraws:
        return AugmentationDraws(**{name: each[rows] for name, each in vars(self).items()})

    def to(self, device: torch.device) -> AugmentationDraws:
        """The same draws on a device."""
        return AugmentationDraws(**{name: each.to(device) for name, each in vars(self).items()})


def draw(num_images: int, generator: torch.Generator, plan: Augmentation = Augmentation()) -> AugmentationDraws:
    """Draw on the CPU, so that the result is the same for every device. Flips are random; see `alternate`."""
    num_offsets = 2 * plan.padding + 1
    first = PADDING - plan.padding
    return AugmentationDraws(
        top=first + torch.randint(num_offsets, (num_images,), generator=generator),
        left=first + torch.randint(num_offsets, (num_images,), generator=generator),
        flip=torch.randint(2, (num_images,), generator=generator),
        angle_index=torch.randint(NUM_ANGLES, (num_images,), generator=generator)
        if plan.rotation
        else torch.full((num_images,), NUM_ANGLES // 2),
    )


def alternate(image_indices: Tensor, seed: int, epoch: int) -> Tensor:
    """Flips, 0 or 1, of all images of the set in this order: each alternates by epoch (arXiv 2404.00498, 3.6)."""
    first = torch.randint(2, (len(image_indices),), generator=torch.Generator().manual_seed(seed))
    return (first[image_indices] + epoch) % 2


class Augmenter:
    """Applies draws to images, with index tables on the device."""

    def __init__(self, device: torch.device, plan: Augmentation = Augmentation()) -> None:
        self._tables = _build_tables().to(device)
        self._reflected = _reflected_rows().to(device) if plan.border == "reflected" else None

    def __call__(self, pixels: Tensor, draws: AugmentationDraws) -> Tensor:
        """Crop, flip and rotate (n, 1024) int32 pixels; gives (n, 1024) int32."""
        num_images = len(pixels)
        images = pixels.view(num_images, SIZE, SIZE)
        padded = pixels.new_zeros(num_images, LENGTH)
        window = padded[:, :OUTSIDE].view(num_images, PADDED, PADDED)
        if self._reflected is None:
            window[:, PADDING:-PADDING, PADDING:-PADDING] = images
        else:
            window[:] = images[:, self._reflected][:, :, self._reflected]
        # index_select copies whole rows, many times as fast as indexing with a tensor does
        index = self._tables.index_select(0, draws.angle_index * 2 + draws.flip)
        index += (draws.top * PADDED + draws.left).unsqueeze(1)
        return padded.gather(1, index)


def _reflected_rows() -> Tensor:
    """(40,) int64: the image's row, or column, at each one of the padded image, mirrored at the border."""
    rows = torch.arange(-PADDING, SIZE + PADDING).abs()
    return torch.where(rows >= SIZE, 2 * (SIZE - 1) - rows, rows)


def _build_tables() -> Tensor:
    """(122, 1024) int64: for angle and flip, where in the padded image each output pixel comes from, at offset 0."""
    coordinates = torch.arange(SIZE, dtype=torch.float64) - (SIZE - 1) / 2
    y, x = torch.meshgrid(coordinates, coordinates, indexing="ij")
    tables = []
    for step in range(NUM_ANGLES):
        angle = math.radians((step - NUM_ANGLES // 2) * DEGREES_PER_STEP)
        # image rows grow downwards, so this turns the picture counter-clockwise, as torchvision does
        source_x = _round(math.cos(angle) * x - math.sin(angle) * y)
        source_y = _round(math.sin(angle) * x + math.cos(angle) * y)
        is_inside = (source_x >= 0) & (source_x < SIZE) & (source_y >= 0) & (source_y < SIZE)
        for column in (source_x, SIZE - 1 - source_x):
            tables.append(torch.where(is_inside, source_y * PADDED + column, OUTSIDE).flatten())
    return torch.stack(tables)


def _round(centred: Tensor) -> Tensor:
    """From a coordinate about the image's centre to the nearest pixel, half to even as grid_sample does."""
    return (centred + (SIZE - 1) / 2).round().to(torch.int64)
