"""What a finished sweep shows of where its time went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from cifar_ray.planning.finished_sweep import FinishedSweep
from cifar_ray.planning.timing import (
    COHORT_SETUP_S,
    Timing,
    assumed_timing,
    measured_timing,
    num_places,
)
from cifar_ray.progress.asha import PASS_EACH, PASS_FIXED
from cifar_ray.provenance import Interruption
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TrialEvent, TrialRecord


def at(second: float) -> str:
    return f"2026-01-01T00:{int(second) // 60:02d}:{second % 60:06.3f}+00:00"


def line(
    epoch_metrics: list[EpochMetrics], trial: str, epoch: int, seconds: float, end: float, sharing: int = 1
) -> EpochMetrics:
    return replace(
        epoch_metrics[0], trial_id=trial, epoch=epoch, seconds=seconds, ended_at=at(end), num_sharing=sharing
    )


@pytest.fixture
def measure(sweep_result: SweepResult) -> Callable[..., Timing]:
    """The timing of a sweep of these epochs, which took so long."""

    def measure(
        sweep: SweepRecord, lines: list[EpochMetrics], wall_s: float, trials: Sequence[TrialRecord] = ()
    ) -> Timing:
        result = replace(sweep_result, wall_s=wall_s, finished_at=at(wall_s))
        return measured_timing(FinishedSweep(sweep=sweep, result=result, trials=trials, metrics=lines))

    return measure


def test_starts_gaps_and_ends_are_read_from_the_clock(
    measure: Callable[..., Timing],
    sweep_record: SweepRecord,
    trial_record: TrialRecord,
    epoch_metrics: list[EpochMetrics],
) -> None:
    sweep = replace(sweep_record, started_at=at(0))
    # ready at 20, a trial's first epoch 1.5 s later, 0.5 s between epochs, the result 4 s after the last
    lines = [
        line(epoch_metrics, "t0000", 1, 10, 31.5),
        line(epoch_metrics, "t0000", 2, 10, 42),
        line(epoch_metrics, "t0001", 1, 10, 53.5),
        line(epoch_metrics, "t0001", 2, 10, 64),
    ]
    trials = [
        replace(trial_record, trial_id=trial, events=(TrialEvent(what="started", at=at(start)),))
        for trial, start in (("t0000", 20), ("t0001", 42))
    ]
    timing = measure(sweep, lines, 68, trials)
    assert timing.setup_s == pytest.approx(20)
    assert timing.trial_start_s == pytest.approx(1.5)
    # of the half second the driver has its own part
    assert timing.gap_s + timing.decision_s == pytest.approx(0.5)
    assert timing.teardown_s == pytest.approx(4)


def test_a_cohorts_passes_are_fitted(
    measure: Callable[..., Timing], sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    sweep = replace(sweep_record, is_cohort=True, started_at=at(0))
    lines = [
        line(epoch_metrics, f"t{index:04d}", epoch, 4 + 2 * size, end, size)
        for epoch, size, end in ((1, 3, 30), (2, 2, 39), (3, 1, 46))
        for index in range(size)
    ]
    timing = measure(sweep, lines, 50)
    assert [timing.pass_s(size) for size in (1, 2, 3, 10)] == pytest.approx([6, 8, 10, 24])
    # no trial began after the first pass
    assert timing.trial_start_s == 0
    assert timing.setup_s == pytest.approx(20)
    # a second between passes, in which the driver decides on each of three (twice) or of two
    assert timing.gap_s == pytest.approx(1 - 3 * timing.decision_s)


def test_a_cohorts_new_trials_are_waited_for(
    measure: Callable[..., Timing], sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    sweep = replace(sweep_record, is_cohort=True, started_at=at(0), accelerators_per_trial=1.0)
    # of four passes by two trials the third comes 2.5 s later than the others, with a new one
    lines = [
        line(epoch_metrics, trial, epoch, seconds, end, 2)
        for trial, epoch, seconds, end in (
            *(("t0000", 1, 8, 30), ("t0001", 1, 8, 30), ("t0000", 2, 8.1, 39.1), ("t0001", 2, 8.1, 39.1)),
            *(("t0002", 1, 7.9, 50.5), ("t0001", 3, 7.9, 50.5), ("t0002", 2, 8.2, 59.7), ("t0001", 4, 8.2, 59.7)),
        )
    ]
    timing = measure(sweep, lines, 60)
    assert timing.trial_start_s == pytest.approx(2.5 + 2 * timing.decision_s)
    assert timing.setup_s + timing.trial_start_s == pytest.approx(22)
    # two cohorts make their passes side by side, and while a sweep is interrupted nothing begins
    on_two = replace(sweep, accelerators_per_trial=0.5)
    interrupted = replace(sweep, interruptions=(Interruption(at=at(40), why="the node went away"),))
    for other in (on_two, interrupted):
        assert measure(other, lines, 60).trial_start_s == 0


def test_time_without_a_driver_is_no_set_up_and_no_end(
    measure: Callable[..., Timing], sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    sweep = replace(sweep_record, started_at=at(0))
    interrupted = replace(sweep, interruptions=(Interruption(at=at(1), why="the node went away"),))
    lines = [line(epoch_metrics, "t0000", 1, 10, 100), line(epoch_metrics, "t0000", 2, 10, 110)]
    for is_cohort, usual_s in ((False, Timing.setup_s), (True, COHORT_SETUP_S)):
        for each, expected in ((sweep, (90, 50)), (interrupted, (usual_s, Timing.teardown_s))):
            timing = measure(replace(each, is_cohort=is_cohort), lines, 160)
            # of a trial by itself, what it takes to start is not its set-up
            before_s = timing.setup_s + timing.trial_start_s * (expected == (90, 50))
            assert (before_s, timing.teardown_s) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("cpus", "accelerators", "places"), [(1.0, 0.6, 2), (1.0, 0.5, 4), (1.0, 2.0, 1), (6.0, 0.25, 1), (1.0, 0.0, 8)]
)
def test_a_node_holds_what_both_its_cores_and_its_accelerators_can(
    cpus: float, accelerators: float, places: int, sweep_record: SweepRecord
) -> None:
    """As a sweep places its trials: a share never reaches over two accelerators."""
    sweep = replace(
        sweep_record,
        cpus_per_trial=cpus,
        accelerators_per_trial=accelerators,
        hardware={"cpus": "8", "accelerators": "2"},
    )
    assert num_places(sweep) == places


def test_an_older_sweep_has_all_but_its_epochs_in_its_start(alone: FinishedSweep, cohort: FinishedSweep) -> None:
    for finished in (alone, cohort):
        timing = measured_timing(finished)
        assert 0 < timing.setup_s < 120
        assert timing.teardown_s == timing.gap_s == 0
    assert num_places(alone.sweep) == 2
    assert num_places(cohort.sweep) == 1


def test_without_a_sweep_a_pass_is_a_multiple_of_an_epoch() -> None:
    assumed = assumed_timing(10.0, is_cohort=True)
    # measured: 12 in 24.2 s where one with a core to itself took 5.6
    assert assumed.pass_s(12) == pytest.approx(10 * 24.2 / 5.6, rel=0.05)
    assert assumed.pass_s(1) == pytest.approx(10 * (PASS_FIXED + PASS_EACH))
    assert assumed_timing(10.0, is_cohort=False) == Timing()
