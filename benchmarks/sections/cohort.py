"""Cohorts: the time of a model's epoch where K of the study's configurations train together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks import ours, tutorial
from benchmarks.contender import Contender
from benchmarks.measuring import Figure, Readings, Target, interleave
from benchmarks.setting import Section, Setting, cut
from benchmarks.tutorial import LEAN, Variant
from cifar_ray.studies import TrialConfig, get_study

SIZES = (1, 4, 8, 16, 32)
TARGET_SIZE = 16
NUM_OPPONENT = 16
"""The tutorial trains so many of the configurations, one after another."""
NUM_QUICK_OPPONENT = 2
NUM_SCOUTED = 4096
"""Images on which the better number of workers is found."""


def _series(size: int) -> str:
    return f"cohort/ours, K={size}"


def _tutorial_series(size: int) -> str:
    return f"cohort/tutorial, first {min(size, NUM_OPPONENT)} configurations"


FIGURES = tuple(
    Figure(
        name=f"classic CNN: epoch of a model, cohort of {size}",
        unit="s",
        ours=_series(size),
        opponents=(_tutorial_series(size),),
        target=Target(kind="at least", value=9) if size == TARGET_SIZE else None,
    )
    for size in SIZES
)


def measure(setting: Setting, readings: Readings) -> None:
    """Each size against the mean of the tutorial's epochs of the same configurations."""
    study = get_study("cnn").with_budget(num_trials=max(SIZES), max_epochs=1)
    configs = study.sample(setting.seed)
    num_opponent = NUM_QUICK_OPPONENT if setting.is_quick else NUM_OPPONENT
    with Contender(setting) as our_side, Contender(setting) as opponent:
        variant = _scout(setting, configs[0])

        def train_ours(size: int) -> float:
            seconds: float = our_side.run(ours.time_cohort_epoch, configs[:size], setting.seed, setting.num_threads)
            return seconds / size

        sides = {_series(size): partial(train_ours, size) for size in SIZES}
        opponents = {
            f"cohort/{variant}, configuration {i}": partial(
                opponent.run, tutorial.time_epoch, configs[i], setting.seed, variant
            )
            for i in range(num_opponent)
        }
        for _ in range(COHORT.rounds_of(setting)):
            interleave(readings, sides | opponents, 1)
            _note_means(readings, [readings.last(series) for series in opponents])


def _note_means(readings: Readings, seconds: Sequence[float]) -> None:
    """For each size, the mean over as many configurations as it has, or as were trained."""
    for size in sorted({min(size, NUM_OPPONENT) for size in SIZES}):
        of_size = seconds[:size]
        readings.note(_tutorial_series(size), sum(of_size) / len(of_size))


def _scout(setting: Setting, config: TrialConfig) -> Variant:
    """The number of workers that is faster on a part of the data."""
    with Contender(setting, data=cut(setting.data, NUM_SCOUTED, NUM_SCOUTED)) as scout:
        seconds: dict[Variant, float] = {}
        for variant in (*LEAN, *LEAN):  # the second time of each counts
            seconds[variant] = scout.run(tutorial.time_epoch, config, setting.seed, variant)
        return min(seconds, key=seconds.__getitem__)


COHORT = Section(
    name="cohort",
    what=f"an epoch of cohorts of {', '.join(map(str, SIZES))} configurations of the study `cnn`, per model",
    round_s=180,
    quick_round_s=45,
    figures=FIGURES,
    measure=measure,
)
