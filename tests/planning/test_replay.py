"""Sweeps that ran for real, in virtual time (docs/planning.md)."""

from __future__ import annotations

from dataclasses import replace
from statistics import mean

import pytest

from cifar_ray.planning.curve_bank import CurveBank
from cifar_ray.planning.curve_source import measured
from cifar_ray.planning.finished_sweep import FinishedSweep
from cifar_ray.planning.replay import fleet_of, replay
from cifar_ray.planning.simulation import FinalsPlan, simulate
from cifar_ray.planning.timing import measured_timing
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study


@pytest.mark.parametrize(
    "name",
    [
        "alone",
        "deep",
        "deep_short",
        "speed_runs",
        "speed_runs_today",
        "small_alone",
        "large_cohort",
        "averaged_cohort",
        "other_cohort",
    ],
)
def test_a_real_sweep_takes_as_long_in_virtual_time(name: str, request: pytest.FixtureRequest) -> None:
    """Of the mechanics alone: curves and times are the sweep's own."""
    real: FinishedSweep = request.getfixturevalue(name)
    outcome = replay(real)
    assert outcome.wall_s == pytest.approx(real.result.wall_s, rel=0.1)
    assert outcome.num_epochs == pytest.approx(real.result.num_epochs, rel=0.15)
    assert real.result.winner is not None
    # rounded to whole images, where the record has 32 bits
    assert outcome.best_accuracy == pytest.approx(real.result.winner.best_validation_accuracy, abs=1e-6)


@pytest.mark.parametrize("name", ["large_cohort", "averaged_cohort", "other_cohort"])
def test_a_cohorts_sweep_makes_its_decisions_again(name: str, request: pytest.FixtureRequest) -> None:
    real: FinishedSweep = request.getfixturevalue(name)
    outcome = replay(real)
    assert outcome.reached == {
        epoch: sum(each.num_epochs >= epoch for each in real.trials) for epoch in outcome.reached
    }
    assert outcome.num_epochs == real.result.num_epochs
    assert outcome.wall_s == pytest.approx(real.result.wall_s, rel=0.03)


def test_a_real_sweep_was_predicted_by_another(large_cohort: FinishedSweep, other_cohort: FinishedSweep) -> None:
    """Other configurations, other epochs; nothing of the predicted sweep is used but its size."""
    sweep = other_cohort.sweep
    study = replace(get_study("cnn"), budget=sweep.budget)
    source = measured([large_cohort], study, is_cohort=True, accelerator=None, epoch_s=None)
    fleet = fleet_of(sweep)
    outcomes = [simulate(study.budget, source.bank, source.timing, fleet, seed) for seed in range(100)]
    assert mean(each.wall_s for each in outcomes) == pytest.approx(other_cohort.result.wall_s, rel=0.15)


def test_the_real_pair_is_ranked_as_it_came_out(alone: FinishedSweep, cohort: FinishedSweep) -> None:
    assert cohort.result.wall_s < alone.result.wall_s
    assert replay(cohort).wall_s < replay(alone).wall_s


def test_a_searcher_that_learns_is_replayed_as_narrow_as_it_ran(alone: FinishedSweep) -> None:
    """Of seven trials, one at once, where two found room."""
    few = replace(alone, sweep=replace(alone.sweep, num_trials=7))
    tpe = replace(few, sweep=replace(few.sweep, searcher="tpe"))
    assert replay(tpe).busy_s / replay(tpe).wall_s < 0.7 * replay(few).busy_s / replay(few).wall_s


def test_a_machine_of_many_cores_is_replayed_as_far_as_trials_fill_it(alone: FinishedSweep) -> None:
    huge = replace(alone, sweep=replace(alone.sweep, hardware={"cpus": "10000000"}))
    assert fleet_of(huge.sweep).num_workers == 30
    assert replay(huge).num_epochs >= 30


@pytest.mark.parametrize(("name", "num_epochs"), [("deep", 12), ("deep_short", 16), ("speed_runs", 13)])
def test_finals_take_as_long_as_they_took(
    name: str, num_epochs: int, results: RunStore, request: pytest.FixtureRequest
) -> None:
    """By the search's own times alone."""
    real: FinishedSweep = request.getfixturevalue(name)
    finals = FinalsPlan(num_finalists=2, num_seeds=2, num_epochs=num_epochs)
    took = results.finals(real.sweep.sweep_id).result(layout.finals(real.sweep.sweep_id))
    assert took is not None
    bank = CurveBank(real.curves(), max_epochs=real.sweep.max_epochs, num_images=real.sweep.dataset.num_validation)
    budget, timing, fleet = real.sweep.budget, measured_timing(real), fleet_of(real.sweep)
    without, with_finals = (
        simulate(budget, bank, timing, fleet, 0, curves=iter(bank.originals()), finals=each) for each in (None, finals)
    )
    assert with_finals.num_epochs - without.num_epochs == took.num_epochs
    assert with_finals.wall_s - without.wall_s == pytest.approx(took.wall_s, rel=0.15)
