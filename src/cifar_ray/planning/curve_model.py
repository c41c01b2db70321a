"""Models learning curves for a study of which no sweep has finished yet; STATEMENT says how."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from cifar_ray.planning.curve_bank import CurveBank, TrialCurve
from cifar_ray.studies import Study, as_defined

NUM_CURVES = 2000
MOST_VALUES = 500_000
"""Limit on the epochs of all curves together: fewer are drawn of very long ones."""
CHANCE_LEVEL = 0.1
TOP = 0.95
"""Expected best accuracy of the study's trials after its own number of epochs, if the report has none."""
SPREAD = 0.08
"""Mean distance of a trial's last accuracy from the highest possible one."""
HALF_LIFE = 1.5
"""Median number of epochs in which a trial makes half of its progress."""
HALF_LIFE_SPREAD = 0.5
"""Standard deviation of the logarithm of the half-life."""
NOISE = 0.008
"""Standard deviation of one epoch's accuracy."""
NUM_IMAGES = 5000
"""Images in CIFAR-10's validation part."""
EPOCH_S = 60.0
"""Seconds an epoch if no --epoch-s is given."""

STATEMENT = (
    f"a trial goes from {CHANCE_LEVEL:.0%} to its own limit, which it reaches at the last epoch that the study has by "
    "itself, or at the plan's where that is later, as (t/h) / (1 + t/h), h log-normal about "
    f"{HALF_LIFE:g} epochs (sd of log h: {HALF_LIFE_SPREAD:g}); "
    f"limits lie {100 * SPREAD:g} points in the mean below the best, exponentially; an epoch scatters by "
    f"{100 * NOISE:g} points, of {NUM_IMAGES:,} images"
)


def model_bank(study: Study, epoch_s: float) -> CurveBank:
    """Draw curves from the model; the study's best trial is expected to reach the report's accuracy, else TOP.

    With fewer epochs than the study's own, trials end on the way there; with more, they take longer to get as far.
    """
    own = as_defined(study)
    top = expected_best(study)
    # what noise adds to the best trial's best epoch
    longer = max(own, study, key=lambda each: each.budget.max_epochs)
    luck = _expected_best_of(own.budget.num_trials, _draw(own, longer, top, epoch_s)) - top
    return CurveBank(_draw(own, study, top - luck, epoch_s), max_epochs=study.budget.max_epochs, num_images=NUM_IMAGES)


def expected_best(study: Study) -> float:
    """Expected validation accuracy of the best of the study's own number of trials, each at its best epoch."""
    return study.published.validation_accuracy if study.published else TOP


def _expected_best_of(num_trials: int, curves: Sequence[TrialCurve]) -> float:
    """Mean best accuracy over all draws of `num_trials` curves with replacement, each at its best epoch."""
    num = len(curves)
    bests = sorted(max(each.accuracies) for each in curves)
    chances = [(rank / num) ** num_trials for rank in range(num + 1)]
    return sum(best * (chances[rank + 1] - chances[rank]) for rank, best in enumerate(bests))


def _draw(own: Study, study: Study, top: float, epoch_s: float) -> list[TrialCurve]:
    rng = random.Random(study.name)
    num_epochs = study.budget.max_epochs
    last_epoch = max(own.budget.max_epochs, num_epochs)
    # the least of n exponential distances is expected to be an n-th of their mean
    highest = top + SPREAD / own.budget.num_trials
    return [
        _curve(highest - rng.expovariate(1 / SPREAD), num_epochs, last_epoch, epoch_s, rng)
        for _ in range(min(NUM_CURVES, MOST_VALUES // num_epochs))
    ]


def _curve(limit: float, num_epochs: int, last_epoch: int, epoch_s: float, rng: random.Random) -> TrialCurve:
    rise = max(0.0, limit - CHANCE_LEVEL)
    half_life = math.exp(rng.gauss(math.log(HALF_LIFE), HALF_LIFE_SPREAD))
    last = last_epoch / half_life
    accuracies = []
    for epoch in range(1, num_epochs + 1):
        way = (epoch / half_life) / (1 + epoch / half_life) / (last / (1 + last))
        accuracies.append(CHANCE_LEVEL + rise * way + rng.gauss(0, NOISE))
    return TrialCurve(accuracies=accuracies, epoch_s=epoch_s)
