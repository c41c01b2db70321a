"""Searchers that fit a model to a sweep's results, and ask it for the next trial's settings."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from ray.tune.search.optuna import OptunaSearch

from cifar_ray.progress.asha import milestones
from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Choice, Study, TrialConfig
from cifar_ray.studies.space import Domain
from cifar_ray.tuning.epoch_report import METRIC, TIME_ATTRIBUTE, from_result
from cifar_ray.tuning.resumable_search import ResumableSearch

NUM_STARTUP = 10
"""Results before the model is asked; Optuna's own default. Until then trials are those of a random sweep."""


class ModelSearch(ResumableSearch):
    """Ray Tune's searcher of a study: a tree-structured Parzen estimator (Bergstra et al. 2011), by Optuna.

    With `tpe` a trial gives one result, the accuracy of its last epoch. With `bohb-style` it gives one at each rung
    that it reaches, and results of later rungs outrank all of earlier ones, as BOHB (Falkner et al.,
    arXiv 1807.01774) does with budgets. With either, a diverged trial ranks last. Trials that still run are left
    out: Optuna would count them among the bad ones, but under ASHA they are the good ones.
    """

    def __init__(self, study: Study, sweep: SweepRecord, first: Sequence[TrialConfig], runs: RunStore) -> None:
        super().__init__(study, sweep, first, runs)
        self._rungs = milestones(sweep.budget) if study.searcher == "bohb-style" else []
        """The epochs after which running trials give results."""
        trials = self._trials
        # each driver has a seed of its own: with the first one's it would repeat the same draws
        seed = random.Random(f"{study.name}:{sweep.seed}:{len(trials)}").getrandbits(32)
        # the job's log is for the sweep's own messages
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._model = OptunaSearch(
            space={name: _distribution(domain) for name, domain in study.space.items()},
            metric=METRIC,
            mode="max",
            sampler=TPESampler(seed=seed, n_startup_trials=NUM_STARTUP, constant_liar=False),
        )
        self._num_results = 0
        self._observed: set[tuple[str, int]] = set()
        self._read_books({each.trial_id: each for each in trials if each.has_ended})

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """A trial finished an epoch and goes on."""
        if result[TIME_ATTRIBUTE] in self._rungs:
            self._learn(self._given[trial_id], from_result(result))

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """A trial ended; one that failed, or never reported, teaches nothing."""
        if not error and result and METRIC in result:
            self._learn(self._given[trial_id], from_result(result))

    def _choose(self, index: int, trial_id: str) -> tuple[None, Mapping[str, Any]]:
        is_drawn = self._num_results < NUM_STARTUP
        config = self._first[index] if is_drawn else self._study.configure(self._model.suggest(trial_id))
        return None, config.to_dict()

    def _learn(self, trial: TrialRecord, reached: EpochMetrics) -> None:
        """Add a trial's result to the model, once: resumed trials repeat their epochs."""
        epoch, accuracy = reached.epoch, reached.validation_accuracy
        if (trial.trial_id, epoch) in self._observed:
            return
        self._observed.add((trial.trial_id, epoch))
        self._num_results += 1
        parameters = {name: trial.config[name] for name in self._study.space}
        is_rung = epoch in self._rungs
        # the model ranks pruned trials by their last step, then by their value, and those without steps last: a
        # diverged trial is given none, however late it diverged
        steps = [accuracy] * epoch if is_rung and reached.is_finite else None
        self._model.add_evaluated_point(
            parameters, accuracy, pruned=is_rung or not reached.is_finite, intermediate_values=steps
        )

    def _read_books(self, ended: Mapping[str, TrialRecord]) -> None:
        for line in self._runs.metrics(self._sweep.sweep_id):
            if (trial := ended.get(line.trial_id)) is None:
                continue
            if line.epoch == trial.num_epochs or line.epoch in self._rungs:
                self._learn(trial, line)


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    low, high = domain.ends
    if domain.is_whole:
        return IntDistribution(int(low), int(high), log=domain.is_log)
    return FloatDistribution(low, high, log=domain.is_log)
