"""Population based training (Jaderberg et al. 2017, arXiv 1711.09846) as trials that continue one another."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from cifar_ray.records import SweepRecord, TrialRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study, TrialConfig
from cifar_ray.studies.space import sample_space
from cifar_ray.studies.study import ADJUSTABLE
from cifar_ray.tuning.epoch_report import METRIC, from_result
from cifar_ray.tuning.resumable_search import ResumableSearch

REPLACED_ONE_IN = 4
"""The worst of a generation, one in this many, are replaced by copies of its best, one in this many."""
RESAMPLED = 0.25
"""Probability that a setting is drawn afresh instead of perturbed: Ray Tune's default, as is the quarter."""
NO_ACCURACY = -1.0
"""The accuracy recorded for a trial that diverged or failed: below any other."""


class PopulationSearch(ResumableSearch):
    """Ray Tune's searcher of a population: a trial is one member for one generation.

    The first generation starts from scratch, with the configurations of a random sweep. Each later trial starts from
    the last weights of a trial of the generation before: its predecessor, with the same settings; or, where that was
    among the worst quarter, diverged or failed, one of the best quarter, with some settings changed. Which trial
    continues which depends on the records alone, so a later driver continues where this one ends.
    """

    def __init__(self, study: Study, sweep: SweepRecord, first: Sequence[TrialConfig], runs: RunStore) -> None:
        super().__init__(study, sweep, first, runs)
        self._size = study.trials_at_once
        # a failed trial of an earlier generation has been replaced; a running one may have ended unrecorded
        start = max(0, len(self._trials) - 1) // self._size * self._size
        newest = self._trials[start:]
        self._waiting = [
            each for each in self._trials if each.outcome == "running" or (each in newest and not each.has_ended)
        ]
        left = {each.trial_id for each in self._waiting}
        ends = {each.trial_id: each.num_epochs for each in self._trials if each.outcome == "completed"}
        self._reached = {each.trial_id: NO_ACCURACY for each in self._trials if each.trial_id not in left}
        """The last epoch's accuracy of each trial that has ended."""
        for line in runs.metrics(sweep.sweep_id):
            if line.epoch == ends.get(line.trial_id):
                self._reached[line.trial_id] = line.validation_accuracy

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """A trial ended: note its last epoch's accuracy."""
        is_of_use = not error and result and METRIC in result and from_result(result).is_finite
        self._reached[self._given[trial_id].trial_id] = result[METRIC] if is_of_use and result else NO_ACCURACY

    def _choose(self, index: int, trial_id: str) -> tuple[str | None, Mapping[str, Any]] | None:
        if index < self._size:
            return None, self._first[index].to_dict()
        start = index // self._size * self._size
        before = self._trials[start - self._size : start]
        if any(each.trial_id not in self._reached for each in before):
            return None
        reached = [self._reached[each.trial_id] for each in before]
        rng = random.Random(f"{self._study.name}:{self._sweep.seed}:{index}")
        return descend(self._study, before, reached, index - start, rng)


def descend(
    study: Study, before: Sequence[TrialRecord], reached: Sequence[float], place: int, rng: random.Random
) -> tuple[str | None, Mapping[str, Any]]:
    """Parent and settings of the member at `place`, from the generation before and the accuracies that it reached.

    Where every trial before diverged or failed, the settings are drawn afresh and there is no parent.
    """
    order = sorted(range(len(before)), key=lambda index: (-reached[index], index))
    num_replaced = max(1, len(before) // REPLACED_ONE_IN)
    if place not in order[-num_replaced:] and reached[place] > NO_ACCURACY:
        return before[place].trial_id, before[place].config
    best = [index for index in order[:num_replaced] if reached[index] > NO_ACCURACY]
    if not best:
        return None, study.configure(sample_space(study.space, rng)).to_dict()
    parent = before[rng.choice(best)]
    return parent.trial_id, explore(study, parent.config, rng)


def explore(study: Study, config: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """`config` with new values for the settings that can change during training: perturbed, or drawn afresh."""
    changed = dict(config)
    for name, domain in study.space.items():
        if name in ADJUSTABLE:
            is_new = rng.random() < RESAMPLED
            changed[name] = domain.sample(rng) if is_new else domain.draw_near(changed[name], rng)
    return TrialConfig.from_dict(changed).to_dict()
