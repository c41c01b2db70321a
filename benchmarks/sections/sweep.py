"""The whole sweep: a fixed list of configurations, each for a fixed number of epochs, on Ray."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.contender import BenchmarkError, Contender
from benchmarks.measuring import Figure, Readings, Target, interleave
from benchmarks.setting import Section, Setting
from benchmarks.sweeps import ENVIRON, SweepRun, run_ours
from benchmarks.tutorial import LEAN
from benchmarks.tutorial_sweep import run_tutorial
from cifar_ray.studies import TrialConfig, get_study

NUM_TRIALS, NUM_EPOCHS = 16, 2
NUM_QUICK_TRIALS, NUM_QUICK_EPOCHS = 4, 1
OURS = "sweep/ours"
VARIANTS = {variant: f"sweep/Ray Tune and Lightning, {variant.num_workers} workers" for variant in LEAN}

FIGURES = (
    Figure(
        name="classic CNN: sweep",
        unit="s",
        ours=OURS,
        opponents=tuple(VARIANTS.values()),
        target=Target(kind="at least", value=8),
    ),
)


def measure(setting: Setting, readings: Readings) -> None:
    """Both numbers of loader workers in the first round; the faster goes on from there."""
    num_trials = NUM_QUICK_TRIALS if setting.is_quick else NUM_TRIALS
    num_epochs = NUM_QUICK_EPOCHS if setting.is_quick else NUM_EPOCHS
    study = get_study("cnn").with_budget(num_trials=num_trials, max_epochs=num_epochs)
    arguments = (study.sample(setting.seed), setting.seed, setting.num_threads)
    sides = {OURS: partial(_sweep, setting, run_ours, *arguments)} | {
        series: partial(_sweep, setting, run_tutorial, *arguments, variant) for variant, series in VARIANTS.items()
    }
    interleave(readings, sides, 1)
    faster = min(VARIANTS.values(), key=lambda series: readings.last(series))
    interleave(readings, {series: sides[series] for series in (OURS, faster)}, SWEEP.rounds_of(setting) - 1)


def _sweep(setting: Setting, function: Callable[..., SweepRun], configs: list[TrialConfig], *others: Any) -> float:
    """Seconds of a sweep in a fresh process; BenchmarkError where it did not train all epochs."""
    with Contender(setting, environ=ENVIRON) as side:
        run: SweepRun = side.run(function, configs, *others)
    num_epochs = sum(config.max_epochs for config in configs)
    if run.num_epochs != num_epochs:
        raise BenchmarkError(f"{function.__name__} trained {run.num_epochs} epochs, not {num_epochs}")
    return run.seconds


SWEEP = Section(
    name="sweep",
    what=f"a sweep of {NUM_TRIALS} configurations of the study `cnn`, {NUM_EPOCHS} epochs each, on a local Ray",
    round_s=300,
    quick_round_s=75,
    figures=FIGURES,
    measure=measure,
    max_rounds=3,
)
