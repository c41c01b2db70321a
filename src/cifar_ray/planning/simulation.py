"""Simulates one sweep."""

from __future__ import annotations

import random
from collections.abc import Iterator

from cifar_ray.planning.alone import AloneSweep
from cifar_ray.planning.cohorts import CohortSweep
from cifar_ray.planning.curve_bank import CurveBank, TrialCurve
from cifar_ray.planning.fleet import Fleet
from cifar_ray.planning.search import Outcome, Search, drawn
from cifar_ray.planning.timing import Timing
from cifar_ray.studies import Budget


def simulate(
    budget: Budget, bank: CurveBank, timing: Timing, fleet: Fleet, seed: int, curves: Iterator[TrialCurve] | None = None
) -> Outcome:
    """A sweep of the bank's trials, or of those in `curves`. The seed's trials are the same on every fleet."""
    search = Search(budget, bank.num_images, drawn(bank, seed) if curves is None else curves)
    sweep = CohortSweep if fleet.is_cohort else AloneSweep
    return sweep(search, timing, fleet, random.Random(f"nodes {seed}")).run()
