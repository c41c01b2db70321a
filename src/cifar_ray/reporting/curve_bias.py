"""Measures, from full learning curves, how far ASHA would have gone wrong by comparing trials at the same epoch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cifar_ray.errors import ConfigurationError, RecordError
from cifar_ray.json_record import DAMAGED
from cifar_ray.progress.asha import milestones
from cifar_ray.records import Outcome, SweepRecord
from cifar_ray.reporting.formats import same_images
from cifar_ray.statistics import kendall, spearman
from cifar_ray.storage import layout
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
    again, images = f"cifar-ray job submit {sweep.study}", f"{same_images(sweep)}{runs.flags}"
    if sweep.max_epochs < 2:
        raise ConfigurationError(
            f"the trials of sweep {sweep_id} have one epoch: there is none before the last to compare with it",
            f"run one of more epochs that cuts nothing: {again} --max-epochs N --grace-period N{images}",
        )
    if sweep.searcher == "pbt":
        raise ConfigurationError(
            f"sweep {sweep_id} is of a population, whose trials do not start from scratch",
            f"run one that cuts nothing: {again} --searcher random --grace-period EPOCHS{images}",
        )
    if len(trials) < sweep.num_trials:
        raise ConfigurationError(
            f"sweep {sweep_id} has begun {len(trials)} of its {sweep.num_trials} trials",
            f"finish it first: {again} --sweep-id {sweep_id} --resume{runs.flags}",
        )
    used = {trial.trial_id: trial.outcome for trial in trials if trial.outcome in ("completed", "diverged")}
    cut = [trial.trial_id for trial in trials if trial.outcome in ("stopped", "running")]
    if cut or len(used) < 3:
        raise ConfigurationError(
            f"sweep {sweep_id} has {len(used)} full learning curves"
            f"{f' and {len(cut)} that end early' if cut else ': the bias takes three'}",
            f"run one {'that cuts nothing' if cut else 'in which three trials or more end well'}: {again} --max-epochs "
            f"{sweep.max_epochs} --grace-period {sweep.max_epochs}{'' if cut else ' --trials N'}{images}",
        )
    curves = _curves(runs, sweep, used)
    return CurveBias(
        sweep_id=sweep_id,
        study=sweep.study,
        num_trials=len(curves),
        max_epochs=sweep.max_epochs,
        num_left_out=len(trials) - len(used),
        epochs=tuple(_epoch_bias(curves, epoch, sweep.max_epochs) for epoch in range(1, sweep.max_epochs)),
    )


def _curves(runs: RunStore, sweep: SweepRecord, outcomes: Mapping[str, Outcome]) -> Curves:
    """Of these trials; one that diverged counts as 0 from there on."""
    num_epochs, where = sweep.max_epochs, layout.metrics(sweep.sweep_id)
    curves = {trial_id: [0.0] * num_epochs for trial_id in outcomes}
    seen: dict[str, set[int]] = {trial_id: set() for trial_id in outcomes}
    for line in runs.metrics(sweep.sweep_id):
        if line.epoch > num_epochs:
            raise RecordError(f"{where}: {line.trial_id}: epoch {line.epoch} of {num_epochs}", DAMAGED)
        if line.trial_id in curves:
            seen[line.trial_id].add(line.epoch)
            if line.is_finite:
                curves[line.trial_id][line.epoch - 1] = line.validation_accuracy
    for trial_id, epochs in seen.items():
        if outcomes[trial_id] == "completed" and len(epochs) < num_epochs:
            raise RecordError(f"{where}: {trial_id} has {len(epochs)} of its {num_epochs} epochs", DAMAGED)
    return curves


def cuts_by_asha(
    curves: Curves, rungs: Sequence[int], reduction_factor: int, num_orders: int = NUM_ORDERS
) -> Iterator[Cut]:
    """Simulate Ray Tune's ASHA with a rung after the first of these epochs, then after the first two, up to all.

    Over seeded random orders in which the trials reach a rung, one by one. Those of a cohort's pass are judged
    together, which `cifar-ray plan` simulates.
    """
    accuracies = np.array([curves[trial] for trial in sorted(curves)]).T
    max_epochs, num_trials = accuracies.shape
    orders, best = _orders(num_trials, num_orders), accuracies[-1].argmax()
    is_left, num_epochs = np.ones(orders.shape, dtype=bool), 0
    for rung in rungs:
        is_passing = _passing(accuracies[rung - 1][orders], is_left, reduction_factor)
        num_epochs += rung * int(is_left.sum() - is_passing.sum())
        is_left = is_passing
        best_left = np.where(is_left, accuracies[-1][orders], 0).max(axis=0)
        yield Cut(
            reduction_factor=reduction_factor,
            chance=(num_orders - int((is_left & (orders == best)).sum())) / num_orders,
            regret=float((accuracies[-1, best] - best_left).mean()),
            epochs=(num_epochs + max_epochs * int(is_left.sum())) / (max_epochs * orders.size),
        )


@cache
def _orders(num_trials: int, num_orders: int) -> NDArray[np.int64]:
    """Random orders of so many trials, a column each."""
    rng, order, orders = random.Random(0), list(range(num_trials)), []
    for _ in range(num_orders):
        rng.shuffle(order)
        orders.append([*order])
    return np.stack(orders, axis=1)


def _passing(accuracies: NDArray[np.float64], is_here: NDArray[np.bool_], reduction_factor: int) -> NDArray[np.bool_]:
    """Which trials are at or above the 1 - 1/r quantile of those before them; the first always passes.

    A row for each place and a column for each order; those that are not here neither pass nor count.
    """
    seen = np.ones_like(accuracies)  # in order; no accuracy comes after these
    num_seen = np.zeros(accuracies.shape[1], dtype=np.int64)
    is_passing = np.zeros_like(is_here)
    for place, (accuracy, is_in) in enumerate(zip(accuracies, is_here, strict=True)):
        is_passing[place] = is_in & (
            (num_seen == 0) | (accuracy >= _quantile(seen, num_seen, 1 - 1 / reduction_factor))
        )
        new = np.where(is_in, accuracy, 1)
        seen[1 : place + 1] = np.maximum(seen[:place], np.minimum(seen[1 : place + 1], new))
        seen[0] = np.minimum(seen[0], new)
        num_seen += is_in
    return is_passing


def _quantile(ordered: NDArray[np.float64], number: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    """Of the first so many of each column; as `numpy.quantile` computes it, to the last bit."""
    position = np.maximum(number - 1, 0) * share
    low, high = (
        np.take_along_axis(ordered, side(position).astype(np.int64)[None], 0)[0] for side in (np.floor, np.ceil)
    )
    part = position % 1
    # as `statistics.between`
    value: NDArray[np.float64] = np.where(part >= 0.5, high - (high - low) * (1 - part), low + (high - low) * part)
    return value


def _epoch_bias(curves: Curves, epoch: int, max_epochs: int) -> EpochBias:
    here = {trial: curve[epoch - 1] for trial, curve in curves.items()}
    last = {trial: curve[-1] for trial, curve in curves.items()}
    best = max(sorted(last), key=lambda trial: last[trial])

    def cut_by(factor: int) -> list[Cut]:
        asha = Budget(num_trials=len(curves), max_epochs=max_epochs, grace_period=epoch, reduction_factor=factor)
        return list(cuts_by_asha(curves, milestones(asha), factor))

    by_factor = [cut_by(factor) for factor in REDUCTION_FACTORS]
    return EpochBias(
        epoch=epoch,
        spearman=spearman(list(here.values()), list(last.values())),
        kendall=kendall(list(here.values()), list(last.values())),
        rank_of_best=1 + sum(accuracy > here[best] for accuracy in here.values()),
        alone=tuple(cuts[0] for cuts in by_factor),
        ladder=tuple(cuts[-1] for cuts in by_factor),
    )
