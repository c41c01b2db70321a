"""Against torchvision's own transforms at the same parameters."""

import numpy as np
import torch

from cifar_ray.data.augmentation import NUM_ANGLES, AugmentationDraws, Augmenter, draw
from cifar_ray.data.packing import pack
from cifar_ray.torchvision_import import torchvision

functional = torchvision.transforms.functional
NUM_IMAGES = 1000


def by_torchvision(images: torch.Tensor, draws: AugmentationDraws) -> torch.Tensor:
    """(N, 3, 32, 32) bytes, one image after the other, as RandomCrop, RandomHorizontalFlip, RandomRotation do."""
    moved = []
    for number, image in enumerate(images):
        padded = functional.pad(image, [4])
        crop = functional.crop(padded, int(draws.top[number]), int(draws.left[number]), 32, 32)
        flipped = functional.hflip(crop) if draws.flip[number] else crop
        angle = (int(draws.angle_index[number]) - NUM_ANGLES // 2) * 0.5
        moved.append(functional.rotate(flipped, angle, interpolation=torchvision.transforms.InterpolationMode.NEAREST))
    return torch.stack(moved)


def by_us(images: torch.Tensor, draws: AugmentationDraws) -> torch.Tensor:
    packed = torch.from_numpy(pack(images.numpy()))
    moved = Augmenter(torch.device("cpu"))(packed, draws)
    return moved.view(torch.uint8).view(-1, 32, 32, 4)[..., :3].permute(0, 3, 1, 2)


def images() -> torch.Tensor:
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.integers(1, 256, (NUM_IMAGES, 3, 32, 32), dtype=np.uint8))


def test_crop_and_flip_are_torchvisions() -> None:
    draws = draw(NUM_IMAGES, torch.Generator().manual_seed(0))
    upright = torch.full_like(draws.angle_index, NUM_ANGLES // 2)
    draws = AugmentationDraws(top=draws.top, left=draws.left, flip=draws.flip, angle_index=upright)
    assert torch.equal(by_us(images(), draws), by_torchvision(images(), draws))


def test_rotation_is_torchvisions_but_for_ties_of_rounding() -> None:
    draws = draw(NUM_IMAGES, torch.Generator().manual_seed(0))
    is_equal = by_us(images(), draws) == by_torchvision(images(), draws)
    assert is_equal.float().mean() > 0.999


def test_draws_cover_their_ranges_evenly() -> None:
    draws = draw(90_000, torch.Generator().manual_seed(0))
    for values, count in ((draws.top, 9), (draws.left, 9), (draws.flip, 2), (draws.angle_index, NUM_ANGLES)):
        shares = torch.bincount(values, minlength=count) / 90_000 * count
        assert len(shares) == count
        assert shares.min() > 0.85
        assert shares.max() < 1.15
