"""Measures, from full learning curves, how far ASHA would have gone wrong by comparing trials at the same epoch."""

from __future__ import annotations

import math
import random
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cifar_ray.errors import ConfigurationError
from cifar_ray.progress.asha import milestones
from cifar_ray.statistics import between, kendall, spearman
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Budget

REDUCTION_FACTORS = (2, 3, 4)
NUM_ORDERS = 1000
"""Random orders in which trials reach a rung: ASHA compares each with those before it, so the order matters."""

Curves = Mapping[str, Sequence[float]]
"""By trial: the validation accuracy after each epoch; all trials have the same number of epochs."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What ASHA would have done with given rungs, over random orders of trials that train one by one."""

    reduction_factor: int
    chance: float
    """Probability that the trial which is best in the end would have been stopped."""
    regret: float
    """Mean shortfall in final accuracy of the best trial left, compared with the best of all."""
    epochs: float
    """Share of all epochs that would have been trained."""


@dataclass(frozen=True, kw_only=True)
class EpochBias:
    """How well the accuracies after one epoch predict the final ones."""

    epoch: int
    spearman: float | None
    """Rank correlation of the trials' accuracies after this epoch with their final ones."""
    kendall: float | None
    rank_of_best: int
    """Rank after this epoch, from 1, of the trial that is best in the end."""
    alone: tuple[Cut, ...]
    """With a rung after this epoch and no other, for each of REDUCTION_FACTORS."""
    ladder: tuple[Cut, ...]
    """The same with this epoch as the grace period, and all rungs that follow from it."""


@dataclass(frozen=True, kw_only=True)
class CurveBias:
    """The bias at each epoch of a sweep that stopped no trial early."""

    sweep_id: str
    study: str
    num_trials: int
    max_epochs: int
    num_left_out: int
    """Trials that failed."""
    epochs: tuple[EpochBias, ...]


def measure_curve_bias(runs: RunStore, sweep_id: str) -> CurveBias:
    """Measure the bias at each epoch but the last.

    ConfigurationError for a sweep that stopped trials early, has fewer than three full curves or trains for one epoch
    alone, and for a population.
    """
    sweep, trials = runs.sweep(sweep_id), runs.trials(sweep_id)
    if sweep.max_epochs < 2:
        raise ConfigurationError(
            f"the trials of sweep {sweep_id} have one epoch: there is none before the last to compare with it",
            f"run one of more epochs that cuts nothing: cifar-ray job submit {sweep.study} --max-epochs N "
            "--grace-period N",
        )
    if sweep.searcher == "pbt":
        raise ConfigurationError(
            f"sweep {sweep_id} is of a population, whose trials do not start from scratch",
            f"run one that cuts nothing: cifar-ray job submit {sweep.study} --grace-period EPOCHS",
        )
    if len(trials) < sweep.num_trials:
        raise ConfigurationError(
            f"sweep {sweep_id} has begun {len(trials)} of its {sweep.num_trials} trials",
            f"finish it first: cifar-ray job submit {sweep.study} --sweep-id {sweep_id} --resume",
        )
    used = [trial.trial_id for trial in trials if trial.outcome in ("completed", "diverged")]
    cut = [trial.trial_id for trial in trials if trial.outcome in ("stopped", "running")]
    if cut or len(used) < 3:
        raise ConfigurationError(
            f"sweep {sweep_id} has {len(used)} full learning curves and {len(cut)} that end early",
            f"run one that cuts nothing: cifar-ray job submit {sweep.study} --max-epochs "
            f"{sweep.max_epochs} --grace-period {sweep.max_epochs}",
        )
    # a diverged trial counts as 0 from there on
    curves = {trial_id: [0.0] * sweep.max_epochs for trial_id in used}
    for line in runs.metrics(sweep_id):
        if line.trial_id in curves and line.is_finite:
            curves[line.trial_id][line.epoch - 1] = line.validation_accuracy
    return CurveBias(
        sweep_id=sweep_id,
        study=sweep.study,
        num_trials=len(curves),
        max_epochs=sweep.max_epochs,
        num_left_out=len(trials) - len(used),
        epochs=tuple(_epoch_bias(curves, epoch, sweep.max_epochs) for epoch in range(1, sweep.max_epochs)),
    )


def cut_by_asha(curves: Curves, rungs: Sequence[int], reduction_factor: int, num_orders: int = NUM_ORDERS) -> Cut:
    """Simulate Ray Tune's ASHA with rungs after those epochs, over seeded random orders of the trials.

    Trials reach a rung one by one. Those of a cohort's pass are judged together, which `cifar-ray plan` simulates.
    """
    rng, order = random.Random(0), sorted(curves)
    max_epochs = len(curves[order[0]])
    best = max(order, key=lambda trial: curves[trial][-1])
    num_cut, regret, num_epochs = 0, 0.0, 0
    for _ in range(num_orders):
        rng.shuffle(order)
        left = order
        for rung in rungs:
            passed = _passing(left, curves, rung, reduction_factor)
            num_epochs += (len(left) - len(passed)) * rung
            left = passed
        num_epochs += len(left) * max_epochs
        num_cut += best not in left
        regret += curves[best][-1] - max(curves[trial][-1] for trial in left)
    return Cut(
        reduction_factor=reduction_factor,
        chance=num_cut / num_orders,
        regret=regret / num_orders,
        epochs=num_epochs / (num_orders * len(order) * max_epochs),
    )


def _passing(trials: Sequence[str], curves: Curves, rung: int, reduction_factor: int) -> list[str]:
    """The trials at or above the 1 - 1/r quantile of those before them; the first always passes."""
    seen: list[float] = []
    passing = []
    for trial in trials:
        accuracy = curves[trial][rung - 1]
        if not seen or accuracy >= _quantile(seen, 1 - 1 / reduction_factor):
            passing.append(trial)
        insort(seen, accuracy)
    return passing


def _quantile(ordered: Sequence[float], share: float) -> float:
    """As `numpy.quantile` computes it, to the last bit."""
    position = (len(ordered) - 1) * share
    return between(ordered[math.floor(position)], ordered[math.ceil(position)], position % 1)


def _epoch_bias(curves: Curves, epoch: int, max_epochs: int) -> EpochBias:
    here = {trial: curve[epoch - 1] for trial, curve in curves.items()}
    last = {trial: curve[-1] for trial, curve in curves.items()}
    best = max(sorted(last), key=lambda trial: last[trial])

    def ladder(factor: int) -> Sequence[int]:
        return milestones(
            Budget(num_trials=len(curves), max_epochs=max_epochs, grace_period=epoch, reduction_factor=factor)
        )

    return EpochBias(
        epoch=epoch,
        spearman=spearman(list(here.values()), list(last.values())),
        kendall=kendall(list(here.values()), list(last.values())),
        rank_of_best=1 + sum(accuracy > here[best] for accuracy in here.values()),
        alone=tuple(cut_by_asha(curves, [epoch], factor) for factor in REDUCTION_FACTORS),
        ladder=tuple(cut_by_asha(curves, ladder(factor), factor) for factor in REDUCTION_FACTORS),
    )
