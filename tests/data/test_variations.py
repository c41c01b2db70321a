"""Augmentation beyond the report's: reflected crops, alternating flips, cutout."""

import numpy as np
import torch
from torch.nn import functional

from cifar_ray.data.augmentation import Augmentation, Augmenter, alternate, draw
from cifar_ray.data.packing import pack
from cifar_ray.data.resident import cut_out

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 255, (64, 3, 32, 32), dtype=np.uint8)


def unpack(pixels: torch.Tensor) -> torch.Tensor:
    """(n, 1024) words to (n, 3, 32, 32) bytes."""
    return pixels.contiguous().view(torch.uint8).view(-1, 32, 32, 4)[..., :3].permute(0, 3, 1, 2)


def test_a_reflected_crop_is_that_of_a_mirrored_image() -> None:
    plan = Augmentation(rotation=False, padding=2, border="reflected")
    draws = draw(64, torch.Generator().manual_seed(0), plan)
    moved = unpack(Augmenter(CPU, plan)(torch.from_numpy(pack(IMAGES)), draws))
    padded = functional.pad(torch.from_numpy(IMAGES).float(), [4] * 4, mode="reflect").to(torch.uint8)
    assert (draws.top.min(), draws.top.max()) == (2, 6)
    for index, image in enumerate(padded):
        top, left = int(draws.top[index]), int(draws.left[index])
        crop = image[:, top : top + 32, left : left + 32]
        assert torch.equal(moved[index], crop.flip(2) if draws.flip[index] else crop)


def test_every_second_epoch_flips_an_image() -> None:
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(1))
    first, second, third = (alternate(order, 5, epoch) for epoch in (1, 2, 3))
    assert torch.equal(first, 1 - second)
    assert torch.equal(first, third)
    assert 400 < int(first.sum()) < 600
    # whatever the order, an image has its own
    assert torch.equal(alternate(torch.arange(1000), 5, 1)[order], first)


def test_a_square_is_cut_out_of_each_image() -> None:
    images = torch.randn(50, 3, 32, 32)
    centres = torch.randint(32, (50, 2), generator=torch.Generator().manual_seed(0))
    plain = images.clone()
    for image, (row, column) in zip(plain, centres.tolist(), strict=True):
        image[:, max(0, row - 4) : max(0, row + 4), max(0, column - 4) : max(0, column + 4)] = 0
    assert torch.equal(cut_out(images, centres, 8), plain)
    assert cut_out(images, centres, 8).is_contiguous()
    last = images.contiguous(memory_format=torch.channels_last)
    assert cut_out(last, centres, 8).is_contiguous(memory_format=torch.channels_last), "compiled code is of one order"
    assert torch.equal(last, images), "the feed's own stay as they are"
