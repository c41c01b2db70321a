"""One trial of the classic CNN: an epoch of ours, of the tutorial's, of a bare loop."""

from __future__ import annotations

from functools import partial

from benchmarks import bare, ours, tutorial
from benchmarks.contender import Contender
from benchmarks.measuring import Figure, Readings, Target, interleave
from benchmarks.setting import Section, Setting, cut
from benchmarks.tutorial import LEAN, Variant
from cifar_ray.data.split import TrainingData
from cifar_ray.studies import TrialConfig

CONFIG = TrialConfig(
    model="classic_cnn",
    max_epochs=2,
    learning_rate=0.004,
    optimizer="sgd",
    weight_decay=0.005,
    dropout=0.1,
    augmentation=True,
)
"""The second epoch is the one that counts."""
FEW = 10
"""Validation images where the training part alone is timed."""
OURS = "single/ours"
BARE = "single/bare loop"
TRAINING = "single/ours, training part"
STEPS = "single/forward, backward, optimiser"
REST = "single/share of all else"
DEFAULT = Variant(num_workers=2, has_defaults=True)

FIGURES = (
    Figure(
        name="classic CNN: epoch of one trial",
        unit="s",
        ours=OURS,
        opponents=tuple(f"single/{variant}" for variant in LEAN),
        target=Target(kind="at least", value=3.5),
    ),
    Figure(name="classic CNN: epoch, default Trainer", unit="s", ours=OURS, opponents=(f"single/{DEFAULT}",)),
    Figure(
        name="classic CNN: epoch, bare loop",
        unit="s",
        ours=OURS,
        opponents=(BARE,),
        ratio="ours / opponent",
        target=Target(kind="at most", value=1.05),
    ),
    Figure(
        name="classic CNN: step, all but forward, backward, optimiser",
        unit="%",
        ours=REST,
        target=Target(kind="at most", value=5),
    ),
)


def measure(setting: Setting, readings: Readings) -> None:
    """All sides, then what is left of a training step without its arithmetic."""
    arguments = (CONFIG, setting.seed, setting.num_threads)
    with Contender(setting) as ours_and_floor, Contender(setting) as opponent:
        sides = {
            OURS: partial(ours_and_floor.run, ours.time_epoch, *arguments),
            BARE: partial(ours_and_floor.run, bare.time_epoch, *arguments),
            TRAINING: partial(ours_and_floor.run, time_training, *arguments),
            STEPS: partial(ours_and_floor.run, bare.time_steps, *arguments),
        } | {
            f"single/{variant}": partial(opponent.run, tutorial.time_epoch, CONFIG, setting.seed, variant)
            for variant in (*LEAN, DEFAULT)
        }
        for _ in range(SINGLE.rounds_of(setting)):
            interleave(readings, sides, 1)
            share = 1 - readings.last(STEPS) / readings.last(TRAINING)
            readings.note(REST, 100 * share)


def time_training(data: TrainingData, config: TrialConfig, seed: int, num_threads: int) -> float:
    """Seconds of our second epoch with next to no validation."""
    return ours.time_epoch(cut(data, len(data.train), FEW), config, seed, num_threads)


SINGLE = Section(
    name="single",
    what="an epoch of one classic CNN, the second of a training: ours, a bare loop, the tutorial",
    round_s=120,
    quick_round_s=40,
    figures=FIGURES,
    measure=measure,
)
