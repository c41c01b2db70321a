"""Runs a finished sweep again in virtual time, with its own curves and times: a check of the mechanics alone."""

from __future__ import annotations

from dataclasses import replace

from cifar_ray.capacity import max_cohort_size
from cifar_ray.planning.curve_bank import CurveBank
from cifar_ray.planning.finished_sweep import FinishedSweep
from cifar_ray.planning.fleet import Fleet
from cifar_ray.planning.search import SimulatedSweep
from cifar_ray.planning.simulation import simulate
from cifar_ray.planning.timing import measured_timing, num_places
from cifar_ray.records import SweepRecord
from cifar_ray.studies import trials_at_once


def replay(finished: FinishedSweep) -> SimulatedSweep:
    """Simulate the same trials in the same order, in the places that the sweep had, judged by today's rule."""
    sweep = finished.sweep
    curves = finished.curves()
    bank = CurveBank(curves, max_epochs=sweep.max_epochs, num_images=sweep.dataset.num_validation)
    return simulate(
        replace(sweep.budget, num_trials=len(curves)),
        bank,
        measured_timing(finished),
        fleet_of(sweep),
        0,
        curves=iter(bank.originals()),
        most_at_once=trials_at_once(sweep.searcher, sweep.num_trials),
    )


def fleet_of(sweep: SweepRecord) -> Fleet:
    """The fleet that the sweep ran on: a worker for each place, or for each cohort that there was room for."""
    places = max_cohort_size(sweep.cpus_per_trial) if sweep.is_cohort else 1
    # more than trials would stay empty
    return Fleet(num_workers=min(num_places(sweep), sweep.num_trials), places=places, is_cohort=sweep.is_cohort)
