import colorsys
import io
import math

import numpy as np
import pytest
from PIL import Image

from cifar_ray.data.image_set import ImageSet
from cifar_ray.evaluation.corruptions import CORRUPTIONS, corrupt


@pytest.fixture
def images(image_set: ImageSet) -> np.ndarray:
    return image_set.images[:8]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_takes_the_images_further_away(images: np.ndarray, name: str) -> None:
    before = images.copy()
    distances = [
        np.abs(corrupt(images, name, severity).astype(float) - images).mean()
        for severity in range(len(CORRUPTIONS[name][1]))
    ]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert (images == before).all()
    assert corrupt(images, name, 1).dtype == np.uint8
    assert (corrupt(images, name, 1) == corrupt(images, name, 1)).all()


def test_severities_are_those_of_the_cited_code() -> None:
    """Of its five for CIFAR-10 the first, third and fifth."""
    assert {name: strengths for name, (_, strengths) in CORRUPTIONS.items()} == {
        "noise": (0.04, 0.08, 0.10),
        "blur": (0.4, 0.7, 1.0),
        "brightness": (0.05, 0.15, 0.3),
        "contrast": (0.75, 0.4, 0.15),
        "JPEG": (80, 58, 40),
    }


@pytest.mark.parametrize(("severity", "quality"), [(0, 80), (1, 58), (2, 40)])
def test_jpeg_has_its_quality(images: np.ndarray, severity: int, quality: int) -> None:
    for image, found in zip(images, corrupt(images, "JPEG", severity), strict=True):
        file = io.BytesIO()
        Image.fromarray(np.moveaxis(image, 0, 2).copy()).save(file, format="JPEG", quality=quality)
        assert (np.moveaxis(found, 0, 2) == np.asarray(Image.open(file))).all()


@pytest.mark.parametrize(("severity", "deviation"), [(0, 0.04), (1, 0.08), (2, 0.10)])
def test_noise_has_its_deviation(severity: int, deviation: float) -> None:
    grey = np.full((20, 3, 32, 32), 128, dtype=np.uint8)
    noise = corrupt(grey, "noise", severity) / 255 - 128 / 255
    assert noise.std() == pytest.approx(deviation, rel=0.02)
    assert abs(noise.mean()) < 0.001


def test_blur_against_the_slow_sum(images: np.ndarray) -> None:
    blurred = corrupt(images, "blur", 2)
    for image, channel, row, column in ((0, 0, 0, 0), (1, 1, 15, 16), (2, 2, 31, 3)):
        total = weight_sum = 0.0
        for down in range(-4, 5):
            for right in range(-4, 5):
                weight = math.exp(-(down**2 + right**2) / 2)
                near = images[image, channel, min(max(row + down, 0), 31), min(max(column + right, 0), 31)]
                total, weight_sum = total + weight * near, weight_sum + weight
        assert blurred[image, channel, row, column] == pytest.approx(total / weight_sum, abs=0.51)


def test_brightness_is_added_to_the_value_alone(images: np.ndarray) -> None:
    bright = corrupt(images, "brightness", 1)
    for row, column in ((0, 0), (7, 20), (31, 31)):
        hue, saturation, value = colorsys.rgb_to_hsv(*(images[3, :, row, column] / 255))
        wanted = colorsys.hsv_to_rgb(hue, saturation, min(value + 0.15, 1))
        assert bright[3, :, row, column] / 255 == pytest.approx(wanted, abs=0.51 / 255)
    black = np.zeros((1, 3, 32, 32), dtype=np.uint8)
    assert (corrupt(black, "brightness", 2) == round(0.3 * 255)).all()


def test_contrast_draws_each_channel_to_its_mean(images: np.ndarray) -> None:
    flat = corrupt(images, "contrast", 2) / 255
    assert flat.mean(axis=(2, 3)) == pytest.approx((images / 255).mean(axis=(2, 3)), abs=0.002)
    assert flat[0, 1].std() == pytest.approx(0.15 * (images / 255)[0, 1].std(), rel=0.05)
