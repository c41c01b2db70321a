"""What a trial's settings make of its batches."""

from __future__ import annotations

from cifar_ray.studies import TrialConfig
from cifar_ray.training.feeds import image_size

CONFIG = {"model": "resnet", "learning_rate": 0.1, "optimizer": "sgd", "weight_decay": 0.0, "dropout": 0.0}


def sizes(max_epochs: int, **settings: object) -> list[int]:
    config = TrialConfig.from_dict({**CONFIG, **settings, "max_epochs": max_epochs})
    return [image_size(config, epoch) for epoch in range(1, max_epochs + 1)]


def test_two_thirds_of_the_epochs_have_smaller_images() -> None:
    assert sizes(9, first_size=24) == [24] * 6 + [32] * 3
    assert sizes(8, first_size=17) == [17] * 5 + [32] * 3
    assert sizes(1, first_size=24) == [32]
    assert sizes(3) == [32] * 3
