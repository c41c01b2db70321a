"""The time left of sweeps in cohorts: by hand, and played back from the records of real ones."""

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from progress_line import PROGRESS

from cifar_ray.progress.asha import PASS_EACH, PASS_FIXED, seconds_left
from cifar_ray.progress.board import Board
from cifar_ray.progress.sweep_log import Cohorts, LogEvent, TrialEpoch, TrialState, read_line
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Budget


def test_a_cohorts_passes_grow_shorter_as_its_trials_end() -> None:
    """Two cohorts of four; in each, two trials have one epoch to go, and two have five."""
    board = Board()
    board.take(Budget(num_trials=8, max_epochs=10, grace_period=10))
    board.take(Cohorts(num_together=4))
    for index in range(8):
        epoch = 9 if index < 4 else 5
        board.take(TrialEpoch(trial_id=f"t000{index}", epoch=epoch, validation_accuracy=0.5, seconds=7.0))
    board.take(replace(PROGRESS, running=8, epochs=56))
    four, two = PASS_FIXED + 4 * PASS_EACH, PASS_FIXED + 2 * PASS_EACH
    assert seconds_left(board) == pytest.approx(7.0 * (four + 4 * two) / four)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_estimate_of_a_real_sweep_in_a_cohort(number: int) -> None:
    """Every two seconds, as its log tells them. Without a cohort's shrinking passes it is a fifth too long."""
    sweep_id = f"cnn-60-seed-{number}"
    errors = [math.log(estimate / left) for estimate, left in played_back(sweep_id) if estimate and left > 10]
    assert len(errors) > 100
    assert 0.9 < math.exp(np.mean(errors)) < 1.1
    assert math.exp(np.sqrt(np.mean(np.square(errors)))) < 1.3


def played_back(sweep_id: str) -> Iterator[tuple[float | None, float]]:
    """A finished sweep's estimates, and the seconds that were really left."""
    runs = RunStore(FolderStore(Path(__file__).parents[2] / "docs/results"))
    sweep, trials = runs.sweep(sweep_id), {each.trial_id: each for each in runs.trials(sweep_id)}
    events: list[tuple[float, LogEvent]] = [
        (instant(each.events[0].at), TrialState(trial_id=name, outcome="running")) for name, each in trials.items()
    ]
    for line in runs.metrics(sweep_id):
        assert line.ended_at is not None
        ended_s, trial = instant(line.ended_at), trials[line.trial_id]
        events += [(ended_s, event) for event in read_line(f"trials {TrialEpoch.of(line).to_word()}") or []]
        if line.epoch == trial.num_epochs:
            events.append((ended_s, TrialState(trial_id=line.trial_id, outcome=trial.outcome)))
    events.sort(key=lambda each: each[0])
    board, begin, end = Board(), instant(sweep.started_at), events[-1][0]
    board.take(sweep.budget)
    board.take(Cohorts(num_together=16))
    for now in np.arange(begin, end, 2.0):
        while events[0][0] <= now:
            board.take(events.pop(0)[1])
        curves = board.curves.values()
        board.take(
            replace(
                PROGRESS,
                elapsed_s=now - begin,
                trials=60,
                running=sum(curve.outcome == "running" for curve in curves),
                epochs=sum(curve.num_epochs for curve in curves),
            )
        )
        yield seconds_left(board), end - now


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
