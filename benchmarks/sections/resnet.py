"""ResNet-18: a few steps of ours and of the tutorial's."""

from __future__ import annotations

from functools import partial

from benchmarks import ours, tutorial
from benchmarks.contender import Contender
from benchmarks.measuring import Figure, Readings, Target, interleave
from benchmarks.setting import Section, Setting, cut
from benchmarks.tutorial import LEAN, Variant
from cifar_ray.studies import TrialConfig

CONFIG = TrialConfig(
    model="resnet",
    depth=18,
    max_epochs=2,
    learning_rate=0.01,
    optimizer="sgd",
    weight_decay=0.005,
    dropout=0.1,
    augmentation=True,
)
"""Of the two epochs, each of a few steps, the second counts."""
NUM_STEPS = 16
NUM_QUICK_STEPS = 4
FEW = 10
"""Validation images."""
OURS = "resnet/ours"
EPOCH = "resnet/ours, epoch"

FIGURES = (
    Figure(
        name="ResNet-18, batch 64: step",
        unit="s",
        ours=OURS,
        opponents=tuple(f"resnet/{variant}" for variant in LEAN),
        target=Target(kind="at least", value=1.9),
    ),
    Figure(name="ResNet-18, batch 64: training epoch, extrapolated", unit="s", ours=EPOCH),
)


def measure(setting: Setting, readings: Readings) -> None:
    """Seconds a step of a training whose epochs have that many steps; the epoch's follow from them."""
    num_steps = NUM_QUICK_STEPS if setting.is_quick else NUM_STEPS
    data = cut(setting.data, num_steps * CONFIG.batch_size, FEW)
    num_steps = -(-len(data.train) // CONFIG.batch_size)
    steps_per_epoch = -(-len(setting.data.train) // CONFIG.batch_size)
    with Contender(setting, data=data) as our_side, Contender(setting, data=data) as opponent:

        def step_ours() -> float:
            seconds: float = our_side.run(ours.time_epoch, CONFIG, setting.seed, setting.num_threads)
            readings.note(EPOCH, seconds / num_steps * steps_per_epoch)
            return seconds / num_steps

        def step_tutorial(variant: Variant) -> float:
            seconds: float = opponent.run(tutorial.time_epoch, CONFIG, setting.seed, variant)
            return seconds / num_steps

        sides = {OURS: step_ours} | {f"resnet/{variant}": partial(step_tutorial, variant) for variant in LEAN}
        interleave(readings, sides, RESNET.rounds_of(setting))


RESNET = Section(
    name="resnet",
    what=f"{NUM_STEPS} training steps of ResNet-18 at batch 64, after as many that warm up",
    round_s=75,
    quick_round_s=25,
    figures=FIGURES,
    measure=measure,
)
