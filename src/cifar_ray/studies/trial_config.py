"""One trial's settings: what a search space is sampled into and a model is trained from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from cifar_ray.errors import ConfigurationError

Model = Literal["classic_cnn", "resnet"]
Optimizer = Literal["adam", "sgd"]
Schedule = Literal["none", "steps", "cosine", "one_cycle"]
Stem = Literal["cifar", "imagenet"]


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Every setting of one training run."""

    model: Model
    max_epochs: int
    """The most epochs this trial may train; schedules stretch over it."""
    learning_rate: float
    """The initial rate; for `one_cycle` the peak."""
    optimizer: Optimizer
    weight_decay: float
    dropout: float
    """Drop-out after each hidden dense layer (classic CNN) or before the last layer (ResNet)."""
    momentum: float = 0.9
    """For SGD only."""
    batch_size: int = 64
    seed: int = 42
    """Seeds the initial weights and the drop-out masks."""
    augmentation: bool = False
    """Random crop, flip and rotation, drawn anew each epoch."""
    schedule: Schedule = "none"
    batch_norm: bool = False
    """After each convolution of the classic CNN; a ResNet always has it."""
    xavier: bool = False
    """Xavier initialisation of the classic CNN's dense layers."""
    depth: Literal[18, 34] = 18
    """Of a ResNet."""
    stem: Stem = "cifar"
    """Of a ResNet: 3x3 at stride 1 without pooling, or ImageNet's 7x7 at stride 2 with pooling."""

    def __post_init__(self) -> None:
        _check_choice("model", self.model, get_args(Model))
        _check_choice("optimizer", self.optimizer, get_args(Optimizer))
        _check_choice("schedule", self.schedule, get_args(Schedule))
        _check_choice("stem", self.stem, get_args(Stem))
        _check_choice("depth", self.depth, (18, 34))
        _check(self.max_epochs >= 1, "max_epochs", self.max_epochs, "at least 1")
        _check(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2")
        _check(0 < self.learning_rate < float("inf"), "learning_rate", self.learning_rate, "above 0")
        _check(0 <= self.weight_decay < float("inf"), "weight_decay", self.weight_decay, "0 or above")
        _check(0 <= self.dropout < 1, "dropout", self.dropout, "in [0, 1)")
        _check(0 <= self.momentum < 1, "momentum", self.momentum, "in [0, 1)")
        _check(0 <= self.seed < 2**32, "seed", self.seed, "in [0, 2^32)")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialConfig:
        """From plain JSON values; a missing or unknown setting raises ConfigurationError."""
        names = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise ConfigurationError(f"unknown trial settings: {', '.join(unknown)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigurationError(f"not a trial configuration: {error}") from error


def _check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    _check(value in allowed, name, value, f"one of {', '.join(map(str, allowed))}")


def _check(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigurationError(f"{name} is {value!r}", f"{name} must be {wanted}")
