import base64
import io

import numpy as np
import pytest
from PIL import Image

from cifar_ray.data.image_set import ImageSet
from cifar_ray.evaluation.confidence import MAX_MISTAKES, confident_mistakes, reliability_bins


def test_bins_hold_every_image_once_with_means() -> None:
    confidence = np.array([0.0, 0.05, 0.2, 0.55, 0.61, 1.0])
    is_right = np.array([False, True, False, True, False, True])
    bins = reliability_bins(confidence, is_right)
    assert [each.num_images for each in bins] == [2, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1]
    assert bins[0].confidence == pytest.approx(0.025)
    assert bins[0].accuracy == 0.5
    assert (bins[1].confidence, bins[1].accuracy) == (None, None)
    assert (bins[14].low, bins[14].high) == (14 / 15, 1.0)


def test_mistakes_are_the_most_confident_wrong_answers_as_images(image_set: ImageSet) -> None:
    predicted = image_set.labels.copy()
    predicted[[3, 50, 70]] = (predicted[[3, 50, 70]] + 1) % 10
    confidence = np.full(len(predicted), 0.99)
    confidence[[3, 50, 70]] = 0.4, 0.9, 0.4
    first, second, third = confident_mistakes(image_set, predicted, confidence)
    assert (first.index, second.index, third.index) == (50, 3, 70)
    assert (first.true_class, first.predicted_class, first.confidence) == ("airplane", "automobile", 0.9)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(first.png))))
    assert (pixels == image_set.images[50].transpose(1, 2, 0)).all()


def test_the_most_confident_alone_are_shown(image_set: ImageSet) -> None:
    confidence = np.linspace(1, 0, len(image_set.labels))
    found = confident_mistakes(image_set, (image_set.labels + 1) % 10, confidence)
    assert [each.index for each in found] == list(range(MAX_MISTAKES))


def test_without_mistakes_there_are_none(image_set: ImageSet) -> None:
    assert confident_mistakes(image_set, image_set.labels, np.ones(len(image_set.labels))) == ()
