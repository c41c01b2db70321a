from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_ray.data.augmentation import Augmentation, Augmenter, draw
from cifar_ray.data.packing import PackedImages
from cifar_ray.data.resident import ResidentBatches, cut_out
from cifar_ray.data.split import TrainingData


def batches(
    data: TrainingData, *, shuffle: bool = True, augment: Augmentation | None = None, seed: int = 0
) -> ResidentBatches:
    return ResidentBatches(
        data.train,
        normalisation=data.record,
        batch_size=32,
        device=torch.device("cpu"),
        shuffle=shuffle,
        augment=augment,
        seed=seed,
    )


def epoch(resident: ResidentBatches, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    resident.set_epoch(number)
    images, labels = zip(*chain.from_iterable(resident), strict=True)
    return torch.cat(images), torch.cat(labels)


def test_one_pass_has_every_image_once(training_data: TrainingData) -> None:
    resident = batches(training_data)
    sizes = [len(labels) for _, labels in chain.from_iterable(resident)]
    assert sizes == [32] * 5 + [20]
    assert resident.num_batches == 6
    assert len(resident) == 1
    _, labels = epoch(resident, 1)
    assert sorted(labels.tolist()) == sorted(training_data.train.labels.tolist())


def test_images_are_the_packed_ones_normalised_and_channels_last(training_data: TrainingData) -> None:
    ((first, _), *_) = next(iter(batches(training_data)))
    assert first.is_contiguous(memory_format=torch.channels_last)
    images, _ = epoch(batches(training_data, shuffle=False), 1)
    words = training_data.train.pixels.view(np.uint8).reshape(-1, 32, 32, 4)[..., :3]
    mean, deviation = (np.array(getattr(training_data.record, name)) for name in ("mean", "standard_deviation"))
    assert np.allclose(images.permute(0, 2, 3, 1).numpy(), (words / 255 - mean) / deviation, atol=1e-5)


def test_order_and_augmentation_follow_seed_and_epoch_alone(training_data: TrainingData) -> None:
    one, other = batches(training_data, augment=Augmentation()), batches(training_data, augment=Augmentation())
    epoch(other, 7)  # what came before does not matter
    assert torch.equal(epoch(one, 3)[0], epoch(other, 3)[0])
    assert not torch.equal(epoch(one, 3)[0], epoch(one, 4)[0])
    assert not torch.equal(epoch(one, 3)[0], epoch(batches(training_data, augment=Augmentation(), seed=1), 3)[0])


def test_images_are_shrunk_as_pillow_shrinks_them(training_data: TrainingData) -> None:
    resident = batches(training_data, shuffle=False)
    whole, _ = epoch(resident, 1)
    resident.set_epoch(1, size=24)
    for (small, _), expected in zip(chain.from_iterable(resident), whole.split(32), strict=True):
        assert small.is_contiguous(memory_format=torch.channels_last)
        for image, original in zip(small, expected, strict=True):
            for channel, values in zip(image, original, strict=True):
                shrunk = Image.fromarray(values.numpy()).resize((24, 24), Image.Resampling.BILINEAR)
                assert torch.allclose(channel, torch.tensor(np.asarray(shrunk)), atol=1e-5)
    assert torch.equal(epoch(resident, 2)[0], whole)


@pytest.mark.parametrize(
    ("num_images", "shuffle", "sizes"),
    [
        (65, True, [32, 32]),
        (67, True, [32, 32]),
        (68, True, [32, 32, 4]),
        (67, False, [32, 32, 3]),
        (3, True, [3]),
    ],
)
def test_a_last_training_batch_of_less_than_an_eighth_is_left_out(
    training_data: TrainingData, num_images: int, shuffle: bool, sizes: list[int]
) -> None:
    pixels, labels = training_data.train.pixels[:num_images], training_data.train.labels[:num_images]
    resident = batches(replace(training_data, train=PackedImages(pixels=pixels, labels=labels)), shuffle=shuffle)
    assert [len(labels) for _, labels in chain.from_iterable(resident)] == sizes
    assert resident.num_batches == len(sizes)


def test_read_only_arrays_of_rays_object_store(training_data: TrainingData) -> None:
    pixels, labels = training_data.train.pixels.copy(), training_data.train.labels.copy()
    pixels.flags.writeable = labels.flags.writeable = False
    images, _ = epoch(batches(replace(training_data, train=PackedImages(pixels=pixels, labels=labels))), 1)
    assert torch.equal(images, epoch(batches(training_data), 1)[0])


@pytest.mark.parametrize("batch_size", [64, 96, 600, 2000])
def test_blocks_do_not_show(batch_size: int, training_data: TrainingData) -> None:
    """Images are moved up to 512 at once; the batches are those of moving all of them at once."""
    rng = np.random.default_rng(0)
    many = PackedImages(pixels=rng.integers(0, 2**24, (1300, 1024), np.int32), labels=np.arange(1300))
    resident = ResidentBatches(
        many,
        normalisation=replace(training_data.record, mean=(0.5, 0.5, 0.5), standard_deviation=(0.25, 0.25, 0.25)),
        batch_size=batch_size,
        device=torch.device("cpu"),
        shuffle=True,
        augment=Augmentation(),
        seed=3,
        cutout=8,
    )
    sizes = [len(labels) for _, labels in chain.from_iterable(resident)]
    assert sizes == [batch_size] * (1300 // batch_size) + [1300 % batch_size]
    assert resident.num_batches == len(sizes)
    images, labels = epoch(resident, 5)
    whole = batches_at_once(many, labels, seed=3, number=5)
    assert torch.allclose(images, whole, atol=1e-5)


def batches_at_once(images: PackedImages, order: torch.Tensor, seed: int, number: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    assert torch.equal(torch.randperm(len(images), generator=generator), order)
    moved = Augmenter(torch.device("cpu"))(torch.from_numpy(images.pixels)[order], draw(len(images), generator))
    levels = moved.view(torch.uint8).view(-1, 32, 32, 4)[..., :3].permute(0, 3, 1, 2)
    return cut_out((levels / 255 - 0.5) / 0.25, torch.randint(32, (len(images), 2), generator=generator), 8)
