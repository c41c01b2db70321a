"""Simulates one sweep, and its finals."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from cifar_ray.planning.cohorts import CohortSweep
from cifar_ray.planning.curve_bank import CurveBank, TrialCurve
from cifar_ray.planning.fleet import Fleet
from cifar_ray.planning.independent import IndependentTrials
from cifar_ray.planning.search import Search, SimulatedSweep, drawn
from cifar_ray.planning.timing import Timing
from cifar_ray.studies import Budget, Study


@dataclass(frozen=True, kw_only=True)
class FinalsPlan:
    """The trainings that follow a search: they train one by one, and none is cut."""

    num_finalists: int
    num_seeds: int
    """Seeds on which each finalist is trained."""
    num_epochs: int
    """Epochs of each training."""

    @property
    def num_trainings(self) -> int:
        """Trainings of all finalists together."""
        return self.num_finalists * self.num_seeds

    @classmethod
    def of(cls, study: Study, num_trials: int) -> FinalsPlan | None:
        """The finals after a sweep of so many trials; None where the study has none."""
        if not study.finalists:
            return None
        epochs = study.final_epochs or study.budget.max_epochs
        return cls(num_finalists=min(study.finalists, num_trials), num_seeds=study.seeds, num_epochs=epochs)


def simulate(
    budget: Budget,
    bank: CurveBank,
    timing: Timing,
    fleet: Fleet,
    seed: int,
    *,
    curves: Iterator[TrialCurve] | None = None,
    finals: FinalsPlan | None = None,
    most_at_once: int | None = None,
) -> SimulatedSweep:
    """Simulate trials drawn from the bank, or those in `curves`. A seed draws the same trials for every fleet."""
    # as many as Ray Tune starts: those of a lost worker keep their places
    capacity = fleet.num_workers * fleet.places
    search = Search(
        budget,
        bank.num_images,
        drawn(bank, seed) if curves is None else curves,
        num_finalists=finals.num_finalists if finals else 0,
        most_at_once=min(capacity, most_at_once or capacity),
    )
    sweep = CohortSweep if fleet.is_cohort else IndependentTrials
    outcome = sweep(search, timing, fleet, random.Random(f"nodes {seed}")).run()
    return outcome.followed_by(_simulate_finals(finals, outcome, timing, fleet, seed)) if finals else outcome


def _simulate_finals(
    finals: FinalsPlan, searched: SimulatedSweep, timing: Timing, fleet: Fleet, seed: int
) -> SimulatedSweep:
    """An epoch takes as long as in the search; the accuracies are not simulated."""
    accuracies = (0.0,) * finals.num_epochs
    curves = (
        TrialCurve(accuracies=accuracies, epoch_s=epoch_s)
        for epoch_s in searched.finalists_epoch_s
        for _ in range(finals.num_seeds)
    )
    budget = Budget(num_trials=finals.num_trainings, max_epochs=finals.num_epochs, grace_period=finals.num_epochs)
    search = Search(budget, 1, curves)
    return IndependentTrials(search, timing, fleet, random.Random(f"nodes of the finals {seed}")).run()
