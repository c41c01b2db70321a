"""The opponent does the same work as we do."""

from dataclasses import replace

import pytest
import torch

from benchmarks import tutorial
from benchmarks.sections.single import CONFIG
from benchmarks.setting import cut
from benchmarks.tutorial import TutorialModule, Variant
from benchmarks.tutorial_data import build_transform, training_loader, validation_loader
from cifar_ray.data import augmentation
from cifar_ray.data.split import TrainingData
from cifar_ray.models import build_model
from cifar_ray.torchvision_import import torchvision
from cifar_ray.training.feeds import training_feed, validation_feed

transforms = torchvision.transforms


def test_its_augmentation_has_our_settings(training_data: TrainingData) -> None:
    crop, flip, rotation, to_tensor, normalise = build_transform(training_data.record, augment=True).transforms
    assert isinstance(crop, transforms.RandomCrop)
    assert (crop.size, crop.padding, crop.padding_mode, crop.fill) == ((32, 32), augmentation.PADDING, "constant", 0)
    assert isinstance(flip, transforms.RandomHorizontalFlip)
    assert flip.p == 0.5
    assert isinstance(rotation, transforms.RandomRotation)
    limit = augmentation.NUM_ANGLES // 2 * augmentation.DEGREES_PER_STEP
    assert rotation.degrees == [-limit, limit]
    assert rotation.interpolation == transforms.InterpolationMode.NEAREST
    assert rotation.fill == 0
    assert isinstance(to_tensor, transforms.ToTensor)
    assert isinstance(normalise, transforms.Normalize)
    assert normalise.mean == training_data.record.mean
    assert normalise.std == training_data.record.standard_deviation


def test_without_augmentation_its_images_are_ours(training_data: TrainingData) -> None:
    theirs, their_labels = next(iter(validation_loader(training_data, num_workers=0)))
    ((ours, our_labels),) = next(iter(validation_feed(training_data, torch.device("cpu"))))
    torch.testing.assert_close(theirs, ours.contiguous(), atol=1e-6, rtol=1e-6)
    assert torch.equal(their_labels, our_labels)


def test_its_epochs_have_our_batches(training_data: TrainingData) -> None:
    feed = training_feed(training_data, CONFIG, torch.device("cpu"), 0)
    assert len(training_loader(training_data, CONFIG, num_workers=0)) == feed.num_batches


def test_it_trains_our_network_in_its_own_memory_format() -> None:
    module, network = TutorialModule(CONFIG, logs_steps=False), build_model(CONFIG)
    for mine, theirs in zip(network.parameters(), module.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert theirs.is_contiguous()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("has_defaults", [False, True])
def test_an_epoch_is_timed(training_data: TrainingData, has_defaults: bool) -> None:
    variant = Variant(num_workers=0, has_defaults=has_defaults)
    config = replace(CONFIG, max_epochs=1)
    assert 0 < tutorial.time_epoch(cut(training_data, 64, 10), config, 0, variant) < 60
