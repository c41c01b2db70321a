from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cifar_ray.data.image_set import ImageSet
from cifar_ray.errors import DataError


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": np.zeros((200, 3, 32, 32), np.float32)}, "images are float32"),
        ({"images": np.zeros((200, 32, 32, 3), np.uint8)}, r"images are uint8 \(200, 32, 32, 3\)"),
        ({"labels": np.zeros(200, np.int32)}, "labels are int32"),
        ({"labels": np.zeros(199, np.int64)}, r"labels are int64 \(199,\)"),
        ({"labels": np.append(np.zeros(199, np.int64), 10)}, "row 199: label 10 is out of range"),
        ({"labels": np.append(np.zeros(199, np.int64), -1)}, "row 199: label -1 is out of range"),
        ({"images": np.zeros((0, 3, 32, 32), np.uint8), "labels": np.zeros(0, np.int64)}, "no image"),
    ],
)
def test_what_is_no_image_set_is_refused(image_set: ImageSet, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        replace(image_set, **changes)


def test_the_fingerprint_is_of_values_not_of_memory(image_set: ImageSet) -> None:
    """Images that lie otherwise in memory, as a view of channels-last ones do, are the same images."""
    channels_last = np.ascontiguousarray(image_set.images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not channels_last.flags.c_contiguous
    print_ = image_set.fingerprint()
    assert replace(image_set, images=channels_last).fingerprint() == print_
    assert len(print_) == 64


def test_the_fingerprint_follows_pixels_labels_and_their_order(image_set: ImageSet) -> None:
    images, labels = image_set.images.copy(), image_set.labels.copy()
    images[3, 2, 1, 0] ^= 1
    labels[3] = (labels[3] + 1) % 10
    turned = {"images": image_set.images[::-1], "labels": image_set.labels[::-1]}
    changes: list[dict[str, Any]] = [{}, {"images": images}, {"labels": labels}, turned]
    assert len({replace(image_set, **each).fingerprint() for each in changes}) == 4
