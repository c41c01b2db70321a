"""What a trial's settings make of its batches."""

from __future__ import annotations

from itertools import chain

import numpy as np
import torch

from cifar_ray.data.packing import PackedImages
from cifar_ray.data.resident import ResidentBatches
from cifar_ray.data.split import TrainingData
from cifar_ray.studies import TrialConfig
from cifar_ray.training.feeds import image_size, sample_images, training_feed, validation_feed

CONFIG = {"model": "resnet", "learning_rate": 0.1, "optimizer": "sgd", "weight_decay": 0.0, "dropout": 0.0}
CPU = torch.device("cpu")


def unturned_feed(data: TrainingData, **settings: object) -> ResidentBatches:
    augmentation = {"max_epochs": 1, "augmentation": True, "rotation": False}
    return training_feed(data, TrialConfig.from_dict({**CONFIG, **augmentation, **settings}), CPU, data_seed=0)


def gather(feed: ResidentBatches) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*chain.from_iterable(feed), strict=True)
    return torch.cat(images), torch.cat(labels)


def plain(data: TrainingData, packed: PackedImages) -> torch.Tensor:
    """(N, 3, 32, 32), normalised, in their order, as they are."""
    levels = packed.pixels.view(np.uint8).reshape(-1, 32, 32, 4)[..., :3]
    return torch.tensor((levels / 255 - data.record.mean) / data.record.standard_deviation).permute(0, 3, 1, 2).float()


def test_validation_images_validate(training_data: TrainingData) -> None:
    images, labels = gather(validation_feed(training_data, CPU))
    assert labels.tolist() == training_data.validation.labels.tolist()
    assert torch.allclose(images, plain(training_data, training_data.validation), atol=1e-4)


def test_a_first_layer_is_fitted_to_training_images(training_data: TrainingData) -> None:
    assert torch.allclose(sample_images(training_data), plain(training_data, training_data.train), atol=1e-4)


def test_without_augmentation_each_epoch_has_all_images_as_they_are_in_an_order_of_its_own(
    training_data: TrainingData,
) -> None:
    originals = plain(training_data, training_data.train).flatten(1)
    feed = unturned_feed(training_data, augmentation=False)
    orders = []
    for epoch in (1, 2):
        feed.set_epoch(epoch)
        images, labels = gather(feed)
        distances = torch.cdist(images.flatten(1), originals, p=torch.inf)
        order = distances.argmin(dim=1)
        assert distances.amin(dim=1).max() < 1e-3
        assert labels.tolist() == training_data.train.labels[order.numpy()].tolist()
        assert sorted(order.tolist()) == list(range(len(originals)))
        orders.append(order.tolist())
    assert sorted(orders[0]) not in orders
    assert orders[0] != orders[1]


def test_images_that_are_only_flipped_alternate(training_data: TrainingData) -> None:
    originals = plain(training_data, training_data.train).flatten(1)
    feed = unturned_feed(training_data, crop_padding=0, alternating_flip=True)
    epochs = []
    for epoch in (1, 2):
        feed.set_epoch(epoch)
        images, _ = gather(feed)
        as_it_is, mirrored = (
            torch.cdist(originals, each.flatten(1), p=torch.inf).amin(dim=1) < 1e-3 for each in (images, images.flip(3))
        )
        assert (as_it_is ^ mirrored).all()
        epochs.append(mirrored)
    assert torch.equal(epochs[0], ~epochs[1])


def test_border_and_square_reach_the_batches(training_data: TrainingData) -> None:
    record = training_data.record
    black = -torch.tensor(record.mean) / torch.tensor(record.standard_deviation)

    def count(colour: torch.Tensor, **settings: object) -> int:
        images, _ = gather(unturned_feed(training_data, **settings))
        return int(((images - colour[:, None, None]).abs().amax(dim=1) < 1e-3).sum())

    assert count(black, crop_border="black") > 1000 > count(black, crop_border="reflected")
    assert count(torch.zeros(3), cutout=8) > 1000 > count(torch.zeros(3))


def sizes(max_epochs: int, **settings: object) -> list[int]:
    config = TrialConfig.from_dict({**CONFIG, **settings, "max_epochs": max_epochs})
    return [image_size(config, epoch) for epoch in range(1, max_epochs + 1)]


def test_two_thirds_of_the_epochs_have_smaller_images() -> None:
    assert sizes(9, first_size=24) == [24] * 6 + [32] * 3
    assert sizes(8, first_size=17) == [17] * 5 + [32] * 3
    assert sizes(1, first_size=24) == [32]
    assert sizes(3) == [32] * 3
