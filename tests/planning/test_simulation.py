"""Sweeps in virtual time, against what can be worked out by hand."""

from __future__ import annotations

import random
import time
import tracemalloc
from dataclasses import replace
from itertools import islice

import pytest

from cifar_ray.errors import ConfigurationError
from cifar_ray.planning.curve_bank import CurveBank, TrialCurve
from cifar_ray.planning.curve_model import model_bank
from cifar_ray.planning.fleet import Fleet
from cifar_ray.planning.independent import IndependentTrials
from cifar_ray.planning.search import Search, SimulatedSweep, drawn
from cifar_ray.planning.simulation import FinalsPlan, simulate
from cifar_ray.planning.timing import Timing, assumed_timing
from cifar_ray.studies import Budget, get_study

PLAIN = Timing(setup_s=10, trial_start_s=2, gap_s=1, teardown_s=3, decision_s=0, pass_fixed_s=20, pass_each_s=5)
MODEL = model_bank(get_study("cnn"), 60.0)
RISING = [0.3 + 0.01 * epoch for epoch in range(4)]


def bank(*rows: list[float], epoch_s: float = 100.0) -> CurveBank:
    return CurveBank(
        [TrialCurve(accuracies=row, epoch_s=epoch_s) for row in rows], max_epochs=len(rows[0]), num_images=1000
    )


def alike(num_trials: int, epoch_s: float = 100.0) -> list[TrialCurve]:
    """Trials that are equally good: ASHA lets all of them pass."""
    return [TrialCurve(accuracies=RISING, epoch_s=epoch_s)] * num_trials


def run(
    num_trials: int, fleet: Fleet, timing: Timing = PLAIN, seed: int = 0, finals: FinalsPlan | None = None
) -> SimulatedSweep:
    budget = Budget(num_trials=num_trials, max_epochs=4)
    return simulate(budget, bank(RISING), timing, fleet, seed, curves=iter(alike(num_trials)), finals=finals)


def test_trials_one_after_another_take_what_they_add_up_to() -> None:
    outcome = run(3, Fleet(num_workers=1))
    # set-up, then for each a start, four epochs and the three gaps between them
    assert outcome.wall_s == pytest.approx(10 + 3 * (2 + 400 + 3) + 3)
    assert outcome.up_s == outcome.wall_s
    assert outcome.busy_s == pytest.approx(1200)
    assert outcome.reached == {1: 3, 4: 3}
    assert outcome.best_accuracy == pytest.approx(0.33)


def test_workers_and_places_train_side_by_side() -> None:
    assert run(6, Fleet(num_workers=3)).wall_s == pytest.approx(10 + 2 * 405 + 3)
    shared = run(6, Fleet(num_workers=1, places=3))
    assert shared.wall_s == pytest.approx(10 + 2 * 405 + 3)
    assert shared.busy_s == pytest.approx(6 * 400 / 3)


@pytest.mark.parametrize(
    ("num_workers", "is_cohort", "most_at_once", "num_together"),
    [(1, True, 60, 16), (3, True, 60, 16), (4, True, 60, 15), (9, True, 60, 15), (9, True, 5, 5), (1, False, 60, 1)],
)
def test_trials_are_dealt_to_cohorts_evenly(
    num_workers: int, is_cohort: bool, most_at_once: int, num_together: int
) -> None:
    fleet = Fleet(num_workers=num_workers, places=16, is_cohort=is_cohort)
    assert fleet.num_together(most_at_once) == num_together


def test_a_cohorts_pass_takes_as_long_for_all_and_its_places_are_filled_again() -> None:
    outcome = run(6, Fleet(num_workers=1, places=4, is_cohort=True))
    # four passes of four, then four of the two that were left, which begin there
    assert outcome.wall_s == pytest.approx(10 + 2 + 4 * 40 + 2 + 4 * 30 + 7 * 1 + 3)
    two = run(6, Fleet(num_workers=3, places=4, is_cohort=True))
    # six trials fill two cohorts of three; the third worker idles, and is paid for
    assert two.wall_s == pytest.approx(10 + 2 + 4 * 35 + 3 * 1 + 3)
    assert two.up_s == pytest.approx(3 * two.wall_s)


def test_finals_follow_one_by_one_at_the_pace_that_the_best_had() -> None:
    finals = FinalsPlan(num_finalists=1, num_seeds=3, num_epochs=5)
    searched, outcome = run(3, Fleet(num_workers=2)), run(3, Fleet(num_workers=2), finals=finals)
    # two at once, then the third: a start, five epochs and the four gaps between them, each time
    assert outcome.wall_s == pytest.approx(searched.wall_s + 10 + 2 * (2 + 500 + 4) + 3)
    assert outcome.up_s == pytest.approx(2 * outcome.wall_s)
    assert outcome.num_epochs == searched.num_epochs + 15
    assert (outcome.reached, outcome.best_accuracy) == (searched.reached, searched.best_accuracy)


def test_the_finals_of_a_study() -> None:
    assert FinalsPlan.of(get_study("cnn"), 30) is None
    finals = FinalsPlan(num_finalists=2, num_seeds=2, num_epochs=8)
    assert FinalsPlan.of(get_study("fast"), 8) == finals
    assert FinalsPlan.of(get_study("fast"), 1) == replace(finals, num_finalists=1)
    assert FinalsPlan.of(get_study("cnn").with_seeds(3), 30) == FinalsPlan(num_finalists=2, num_seeds=3, num_epochs=30)


def test_a_searcher_that_learns_leaves_workers_idle() -> None:
    budget = Budget(num_trials=8, max_epochs=4)
    workers = Fleet(num_workers=4)
    outcome = simulate(budget, bank(RISING), PLAIN, workers, 0, curves=iter(alike(8)), most_at_once=2)
    assert outcome.wall_s == pytest.approx(10 + 4 * 405 + 3)
    assert outcome.up_s == pytest.approx(4 * outcome.wall_s)
    cohort = Fleet(num_workers=1, places=4, is_cohort=True)
    passes = simulate(budget, bank(RISING), PLAIN, cohort, 0, curves=iter(alike(8)), most_at_once=2)
    assert passes.wall_s == run(8, replace(cohort, places=2)).wall_s


def test_the_finalists_are_the_best_of_the_search() -> None:
    falling = {rate: [rate, rate, rate, 0.1 / rate] for rate in (0.3, 0.9, 0.5)}
    curves = [TrialCurve(accuracies=falling[rate], epoch_s=seconds) for rate, seconds in ((0.3, 1), (0.9, 2), (0.5, 4))]
    finals = FinalsPlan(num_finalists=2, num_seeds=1, num_epochs=1)
    budget = Budget(num_trials=3, max_epochs=4, grace_period=4)
    timing = replace(PLAIN, trial_start_s=0)
    outcome = simulate(budget, bank(RISING), timing, Fleet(num_workers=1), 0, curves=iter(curves), finals=finals)
    assert outcome.finalists_epoch_s == (2, 4)
    # set-up, three times four epochs and three gaps, the end; set-up, an epoch of each finalist, the end
    assert outcome.wall_s == pytest.approx(10 + 4 * (1 + 2 + 4) + 9 + 3 + 10 + 6 + 3)


def test_the_worst_are_stopped_at_the_first_rung() -> None:
    rows = [[0.1 * index] * 4 for index in range(1, 9)]
    outcome = simulate(
        Budget(num_trials=8, max_epochs=4, reduction_factor=2),
        bank(*rows),
        PLAIN,
        Fleet(num_workers=1),
        0,
        curves=iter([TrialCurve(accuracies=row, epoch_s=100.0) for row in reversed(rows)]),
    )
    # the best came first: all others are below the median of those before them
    assert outcome.reached == {1: 8, 2: 1, 4: 1}
    assert outcome.best_accuracy == pytest.approx(0.8)


def test_the_driver_takes_one_result_after_another() -> None:
    outcome = run(100, Fleet(num_workers=100), replace(PLAIN, decision_s=2.0))
    # the last of 400 results waits for all others
    assert outcome.driver_s == pytest.approx(800)
    assert outcome.wall_s > 800 + 100


def test_an_autoscaler_starts_workers_for_trials_and_ends_them_when_they_idle() -> None:
    fleet = Fleet(num_workers=5, is_autoscaled=True, node_start_s=200, idle_s=60)
    outcome = run(2, fleet)
    assert 10 + 150 + 405 <= outcome.wall_s - 3 <= 10 + 250 + 405
    # two of five, from when they were asked for
    assert outcome.up_s < 2 * outcome.wall_s
    assert outcome.up_s > 2 * 400
    # with one that has long to go, the other goes
    curves = [TrialCurve(accuracies=RISING, epoch_s=each) for each in (10.0, 10_000.0)]
    at_once = replace(fleet, node_start_s=0)
    uneven = simulate(Budget(num_trials=2, max_epochs=4), bank(RISING), PLAIN, at_once, 0, curves=iter(curves))
    # a start, four epochs and three gaps each; then a minute of idling, and the end of the sweep
    assert uneven.up_s == pytest.approx((2 + 40 + 3 + 60) + (2 + 40_000 + 3 + 3))


def test_an_autoscalers_cohort_holds_its_node_to_the_end() -> None:
    fleet = Fleet(num_workers=2, places=1, is_cohort=True, is_autoscaled=True, node_start_s=0, idle_s=60)
    curves = [TrialCurve(accuracies=RISING[:epochs], epoch_s=100.0) for epochs in (1, 4)]
    outcome = simulate(Budget(num_trials=2, max_epochs=4), bank(RISING), PLAIN, fleet, 0, curves=iter(curves))
    # the one that diverges leaves an empty cohort: a start, four passes and the gaps between them, the end
    assert outcome.up_s == pytest.approx(2 * (2 + 4 * 25 + 3 + 3))


def test_a_worker_in_the_middle_of_an_epoch_is_no_idle_one() -> None:
    fleet = Fleet(num_workers=1, places=2, is_autoscaled=True, idle_s=60)
    search = Search(Budget(num_trials=1, max_epochs=4), 1000, iter(alike(1, epoch_s=1000.0)))
    sweep = IndependentTrials(search, PLAIN, fleet, random.Random(0))
    (worker,) = sweep.workers.all
    sweep.on_ready(worker, 10)
    # a start, an epoch, a minute
    for now, is_gone in ((500, False), (10 + 2 + 1000 + 59, False), (10 + 2 + 1000 + 61, True)):
        assert sweep.workers.is_gone(worker, now) == is_gone


@pytest.mark.parametrize("is_cohort", [False, True])
def test_a_trial_that_diverges_ends_at_once(is_cohort: bool) -> None:
    curves = [TrialCurve(accuracies=RISING[:2], epoch_s=100.0), *alike(1)]
    outcome = simulate(
        Budget(num_trials=2, max_epochs=4, grace_period=4),
        bank(RISING),
        PLAIN,
        Fleet(num_workers=1, is_cohort=is_cohort),
        0,
        curves=iter(curves),
    )
    assert (outcome.num_epochs, outcome.reached) == (6, {4: 1})
    # its place is the next trial's: cohorts of one make passes of 25 s with a gap after each
    took_s = 2 * 2 + 6 * 25 + 5 if is_cohort else 2 * 2 + 6 * 100 + 1 + 3
    assert outcome.wall_s == pytest.approx(10 + took_s + 3)


@pytest.mark.parametrize("is_cohort", [False, True])
def test_a_worker_that_is_taken_away_costs_the_epoch_it_was_in(is_cohort: bool) -> None:
    calm = Fleet(num_workers=2, places=4 if is_cohort else 1, is_cohort=is_cohort, node_start_s=50)
    rough = replace(calm, preemptions_per_hour=20)
    undisturbed, disturbed = run(16, calm), run(16, rough)
    assert disturbed.wall_s > undisturbed.wall_s
    # every epoch is trained all the same, and counted once
    assert disturbed.num_epochs == undisturbed.num_epochs == 64
    assert disturbed.reached == {1: 16, 4: 16}


@pytest.mark.parametrize("is_cohort", [False, True])
def test_a_trial_that_loses_its_worker_goes_on_in_one_that_had_no_trial_so_far(is_cohort: bool) -> None:
    rough = Fleet(num_workers=1, is_cohort=is_cohort, node_start_s=1_000_000, preemptions_per_hour=10)
    timing = replace(PLAIN, pass_fixed_s=95)
    assert run(1, rough, timing, seed=1).wall_s > 700_000
    assert run(1, replace(rough, num_workers=8), timing, seed=1).wall_s < 1000


def test_a_cohort_takes_in_the_trials_of_one_that_is_lost() -> None:
    timing = replace(PLAIN, pass_fixed_s=95)
    rough = Fleet(num_workers=2, places=2, is_cohort=True, node_start_s=1_000_000, preemptions_per_hour=5)
    # a start, a pass of two that is lost, and passes of all four
    assert 438 < run(4, rough, timing, seed=0).wall_s < 700


def test_a_cohort_without_trials_takes_half_of_anothers() -> None:
    short = TrialCurve(accuracies=RISING[:1], epoch_s=100.0)
    budget = Budget(num_trials=8, max_epochs=4, grace_period=4)
    fleet = Fleet(num_workers=2, places=4, is_cohort=True)
    outcome = simulate(budget, bank(RISING), PLAIN, fleet, 0, curves=iter([*alike(4), *[short] * 4]))
    # two passes of four; then two of two beside each other, which begin with a start in the cohort that was idle
    assert outcome.wall_s == pytest.approx(10 + 2 + 2 * 40 + 2 + 2 * 30 + 3 * 1 + 3)
    assert outcome.num_epochs == 4 * 4 + 4


def test_a_replaced_workers_cohort_takes_its_trials_back() -> None:
    budget = Budget(num_trials=32, max_epochs=30, grace_period=30)
    trials = [TrialCurve(accuracies=[0.5] * 30, epoch_s=100.0)] * 32
    calm = Fleet(num_workers=2, places=16, is_cohort=True, node_start_s=50)
    lossy = replace(calm, preemptions_per_hour=0.5)
    undisturbed, *_ = _walls(calm, trials, budget)
    longest = max(_walls(lossy, trials, budget))
    # a pass of 32 takes 180 s, two of 16 beside each other 100: one that stayed together would take up to 40 minutes
    assert undisturbed < longest < undisturbed + 300


def _walls(fleet: Fleet, trials: list[TrialCurve], budget: Budget) -> list[float]:
    """Wall times of twenty seeds, in seconds."""
    model = bank([0.5] * 30)
    return [simulate(budget, model, PLAIN, fleet, seed, curves=iter(trials)).wall_s for seed in range(20)]


def test_workers_that_never_get_an_epoch_done_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="never end"):
        run(2, Fleet(num_workers=1, preemptions_per_hour=1000), replace(PLAIN, trial_start_s=0, gap_s=0), seed=1)


def test_a_seeds_trials_are_the_same_on_every_fleet() -> None:
    best = max(accuracy for curve in islice(drawn(MODEL, 3), 30) for accuracy in curve.accuracies)
    everything = Budget(num_trials=30, max_epochs=30, grace_period=30)
    for fleet in (Fleet(num_workers=1), Fleet(num_workers=8), Fleet(num_workers=2, places=16, is_cohort=True)):
        timing = assumed_timing(60.0, is_cohort=fleet.is_cohort)
        assert simulate(everything, MODEL, timing, fleet, 3).best_accuracy == best


def test_ten_thousand_trials_take_seconds() -> None:
    """`python -m benchmarks.limits` runs 100,000 on 10,000: docs/scaling.md."""
    began = time.process_time()
    outcome = modelled_sweep(10_000)
    assert outcome.num_epochs > 20_000
    # a minute for a hundred thousand is 6 s for ten
    assert time.process_time() - began < 6


def test_memory_does_not_grow_with_trials_that_have_ended() -> None:
    peaks = []
    for num_trials in (500, 3_000):
        tracemalloc.start()
        modelled_sweep(num_trials)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # six times the trials: a trial's accuracies alone are 240 bytes and more, 600 kB for the 2,500
    assert peaks[1] < peaks[0] + 100_000


def modelled_sweep(num_trials: int) -> SimulatedSweep:
    budget = Budget(num_trials=num_trials, max_epochs=30)
    return simulate(budget, MODEL, assumed_timing(60.0, is_cohort=False), Fleet(num_workers=200), 0)


@pytest.mark.parametrize("places", [1, 3])
def test_every_trial_is_trained_whatever_happens_to_its_workers(places: int) -> None:
    """Workers that are lost, replaced, idle and ended while a busy driver lets their trials wait."""
    fleet = Fleet(num_workers=3, places=places, is_autoscaled=True, node_start_s=5, idle_s=1, preemptions_per_hour=20)
    for seed in range(10):
        outcome = run(9, fleet, replace(PLAIN, decision_s=60.0), seed)
        assert (outcome.num_epochs, outcome.reached) == (36, {1: 9, 4: 9})
        assert 0 < outcome.busy_s <= outcome.up_s
