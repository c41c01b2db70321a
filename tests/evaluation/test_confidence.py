import base64
import io

import numpy as np
import pytest
from PIL import Image

from cifar_ray.data.image_set import ImageSet
from cifar_ray.evaluation.confidence import confident_mistakes, reliability_bins


def test_bins_hold_every_image_once_with_means() -> None:
    confidence = np.array([0.0, 0.1, 0.15, 0.5, 0.51, 1.0])
    is_right = np.array([False, True, False, True, False, True])
    bins = reliability_bins(confidence, is_right, num_bins=10)
    assert [each.num_images for each in bins] == [2, 1, 0, 0, 1, 1, 0, 0, 0, 1]
    assert bins[0].confidence == pytest.approx(0.05)
    assert bins[0].accuracy == 0.5
    assert (bins[2].confidence, bins[2].accuracy) == (None, None)
    assert (bins[9].low, bins[9].high) == (0.9, 1.0)


def test_mistakes_are_the_most_confident_wrong_answers_as_images(image_set: ImageSet) -> None:
    predicted = image_set.labels.copy()
    predicted[[3, 50, 70]] = (predicted[[3, 50, 70]] + 1) % 10
    confidence = np.full(len(predicted), 0.99)
    confidence[[3, 50, 70]] = 0.4, 0.9, 0.4
    first, second = confident_mistakes(image_set, predicted, confidence, num_mistakes=2)
    assert (first.index, second.index) == (50, 3)
    assert (first.true_class, first.predicted_class, first.confidence) == ("airplane", "automobile", 0.9)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(first.png))))
    assert (pixels == image_set.images[50].transpose(1, 2, 0)).all()


def test_without_mistakes_there_are_none(image_set: ImageSet) -> None:
    assert confident_mistakes(image_set, image_set.labels, np.ones(len(image_set.labels))) == ()
