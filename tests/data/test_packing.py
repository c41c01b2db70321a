import numpy as np

from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.packing import PackedImages, pack


def test_a_word_holds_red_green_blue_and_nothing() -> None:
    image = np.zeros((1, 3, 32, 32), np.uint8)
    image[0, :, 2, 5] = (1, 2, 255)
    words = pack(image)
    assert (words.dtype, words.shape) == (np.dtype(np.int32), (1, 1024))
    assert words[0, 2 * 32 + 5] == 1 + 2 * 256 + 255 * 65536
    assert np.count_nonzero(words) == 1


def test_packing_loses_nothing(image_set: ImageSet) -> None:
    unpacked = pack(image_set.images).view(np.uint8).reshape(-1, 32, 32, 4)
    assert np.array_equal(unpacked[..., :3].transpose(0, 3, 1, 2), image_set.images)
    assert not unpacked[..., 3].any()


def test_the_length_is_the_number_of_images(image_set: ImageSet) -> None:
    assert len(PackedImages(pixels=pack(image_set.images), labels=image_set.labels)) == 200
