"""The settings that all sections of a run share, and what a section is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.measuring import Figure, Readings
from cifar_ray.data.packing import PackedImages
from cifar_ray.data.sources import load_images, resolve_source
from cifar_ray.data.split import TrainingData, split
from cifar_ray.settings import read_settings

OUT = Path(__file__).parent / "out"
"""Where results and logs go; git ignores it."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What both sides of every comparison have in common."""

    data: TrainingData
    seed: int
    """Of the split, the batches, the augmentation and the sampled configurations."""
    num_rounds: int
    """Readings of each side."""
    is_quick: bool
    """Whether sections do little work, only to check that everything runs."""
    num_threads: int
    """The machine's cores."""
    log_path: Path
    """Where the contenders' own output goes."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the benchmark that can be run by itself."""

    name: str
    what: str
    """What it measures, for its headline."""
    round_s: float
    """About how long a round takes on two cores with 45,000 images."""
    quick_round_s: float
    """The same with `--quick`."""
    figures: tuple[Figure, ...]
    measure: Callable[[Setting, Readings], None]
    """Adds readings as they are taken, so that an interrupted run keeps them."""
    max_rounds: int = 100
    """Limits the number of rounds where one takes minutes."""

    def rounds_of(self, setting: Setting) -> int:
        """The number of rounds to run."""
        return min(setting.num_rounds, self.max_rounds)


def load_data(seed: int) -> TrainingData:
    """The training images that `CIFAR_RAY_DATA` names, else `shapes`."""
    settings = read_settings()
    source = resolve_source(settings.data or "shapes", settings)
    return split(load_images(source, "train", settings), seed)


def cut(data: TrainingData, num_train: int, num_validation: int) -> TrainingData:
    """The first images of both parts; mean and deviation stay those of the whole."""
    return replace(
        data,
        train=_first(data.train, num_train),
        validation=_first(data.validation, num_validation),
    )


def _first(images: PackedImages, count: int) -> PackedImages:
    return PackedImages(pixels=images.pixels[:count], labels=images.labels[:count])
