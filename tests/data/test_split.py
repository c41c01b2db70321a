import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.packing import pack
from cifar_ray.data.sources import load_images
from cifar_ray.data.split import split
from cifar_ray.errors import DataError
from cifar_ray.settings import read_settings


def test_ninety_to_ten_within_every_class(image_set: ImageSet) -> None:
    data = split(image_set, seed=0)
    assert np.bincount(data.train.labels).tolist() == [18] * 10
    assert np.bincount(data.validation.labels).tolist() == [2] * 10


def test_another_share(image_set: ImageSet) -> None:
    data = split(image_set, seed=0, validation_share=0.25)
    assert np.bincount(data.train.labels).tolist() == [15] * 10
    assert (data.record.num_train, data.record.num_validation) == (150, 50)


def test_a_smaller_share_is_of_the_images_of_a_larger_one(image_set: ImageSet) -> None:
    """What is learnt from beyond the usual share has never been tested on, and nothing changes its role back."""
    usual, smaller = split(image_set, seed=3), split(image_set, seed=3, validation_share=0.05)
    assert np.bincount(smaller.validation.labels).tolist() == [1] * 10
    assert set(map(bytes, smaller.validation.pixels)) < set(map(bytes, usual.validation.pixels))
    assert (usual.record.validation_share, smaller.record.validation_share) == (0.1, 0.05)


def test_the_split_depends_on_labels_and_seed_alone(image_set: ImageSet) -> None:
    """Each image holds its own row number, on either set of pixels: the same rows are chosen."""
    rows = np.arange(200, dtype=np.uint8)[:, None, None, None]
    one = split(replace(image_set, images=np.broadcast_to(rows, image_set.images.shape).copy()), seed=4)
    other = split(replace(image_set, images=np.broadcast_to(255 - rows, image_set.images.shape).copy()), seed=4)
    assert np.array_equal(one.validation.pixels & 255, 255 - (other.validation.pixels & 255))


def test_every_image_is_in_one_part(image_set: ImageSet) -> None:
    data = split(image_set, seed=5)
    both = np.concatenate([data.train.pixels, data.validation.pixels])
    assert sorted(map(bytes, both)) == sorted(map(bytes, pack(image_set.images)))


def test_seeds_split_otherwise(image_set: ImageSet) -> None:
    assert not np.array_equal(split(image_set, 0).validation.pixels, split(image_set, 1).validation.pixels)


def test_moments_are_of_the_training_part_alone(image_set: ImageSet) -> None:
    # the validation images made bright: nothing may change
    before = split(image_set, seed=0)
    bright = image_set.images.copy()
    chosen = {bytes(row) for row in before.validation.pixels}
    bright[[bytes(row) in chosen for row in pack(image_set.images)]] = 255
    after = split(replace(image_set, images=bright), seed=0)
    assert after.record.mean == before.record.mean
    assert after.record.standard_deviation == before.record.standard_deviation
    train = before.train.pixels.view(np.uint8).reshape(-1, 4)[:, :3] / 255
    assert np.allclose(before.record.mean, train.mean(axis=0))
    assert np.allclose(before.record.standard_deviation, train.std(axis=0))


@pytest.mark.parametrize("level", [0, 29, 255])
def test_a_constant_channel_is_not_scaled(image_set: ImageSet, level: int) -> None:
    """At 29, as at some forty other levels, the mean is rounded, and the deviation is 1e-17."""
    images = image_set.images.copy()
    images[:, 2] = level
    record = split(replace(image_set, images=images), seed=0).record
    assert record.standard_deviation[2] == 1
    assert record.mean[2] == pytest.approx(level / 255)


def test_a_class_of_one_image_cannot_be_split(image_set: ImageSet) -> None:
    few = replace(image_set, images=image_set.images[:10], labels=image_set.labels[:10])
    with pytest.raises(DataError, match="too few"):
        split(few, seed=0)


def test_one_image_is_no_batch_to_train_on(image_set: ImageSet) -> None:
    """Batch norm cannot use it, so a trial would end without an epoch."""
    two, three = (replace(image_set, images=image_set.images[:n], labels=np.zeros(n, np.int64)) for n in (2, 3))
    with pytest.raises(DataError, match="one image to train on"):
        split(two, seed=0)
    assert len(split(three, seed=0).train) == 2


@pytest.mark.slow
def test_the_real_set(real_data: Path) -> None:
    data = split(load_images(str(real_data), "train", read_settings(os.environ)), seed=0)
    assert np.bincount(data.train.labels).tolist() == [4500] * 10
    assert np.bincount(data.validation.labels).tolist() == [500] * 10
    # of all 50,000 lossy training images; the 45,000 differ by less than the last digit or two
    assert data.record.mean == pytest.approx((0.4913, 0.4821, 0.4465), abs=5e-4)
    assert data.record.standard_deviation == pytest.approx((0.2452, 0.2428, 0.2606), abs=5e-4)
