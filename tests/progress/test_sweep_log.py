"""The lines, there and back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.progress.sweep_log import (
    Cohorts,
    FinalsAhead,
    LogEvent,
    TrialEpoch,
    TrialState,
    Waiting,
    budget_line,
    read_line,
    trial_lines,
)
from cifar_ray.progress.sweep_progress import SweepProgress
from cifar_ray.records import EpochMetrics, SweepRecord
from cifar_ray.studies import Budget

PROGRESS = SweepProgress(
    elapsed_s=86_400.0,
    trials=9999,
    running=999,
    stopped=9999,
    completed=999,
    diverged=99,
    failed=99,
    epochs=99_999,
    best_validation_accuracy=0.1234,
    best_trial="t9999",
    dataset="cifar10-jpeg",
)


def test_there_and_back(epoch_metrics: list[EpochMetrics]) -> None:
    budget = Budget(num_trials=30, max_epochs=27, grace_period=2, reduction_factor=3)
    assert read_line(budget_line(budget)) == [budget]
    cohorts = Cohorts(num_together=16)
    assert read_line(cohorts.to_line()) == [cohorts]
    events = [TrialEpoch.of(replace(line, validation_accuracy=0.1234)) for line in epoch_metrics] * 30
    events.append(TrialEpoch(trial_id="t0009", epoch=3, validation_accuracy=None, seconds=1.0))
    events.append(TrialEpoch(trial_id="t0009", epoch=3, validation_accuracy=1.0, seconds=12345.6))
    all_news = [*events, TrialState(trial_id="t0001", outcome="stopped")]
    lines = list(trial_lines(all_news))
    assert len(lines) > 1
    back: list[LogEvent] = [each for line in lines for each in read_line(line) or ()]
    assert back == all_news


def test_what_others_say_stays_on_its_line() -> None:
    """A cloud's refusal may be long and have several lines, a folder's name any blank."""
    waiting = Waiting(seconds=40, is_stuck=True, what="it could not start:\n" + 200 * "refused ")
    (back,) = read_line(waiting.to_line()) or ()
    assert isinstance(back, Waiting)
    assert back.what.startswith("it could not start: refused refused")
    progress = replace(PROGRESS, dataset="my\u00a0own\ndata")
    assert read_line(progress.to_line()) == [replace(progress, dataset="my_own_data")]


def test_finals_are_announced_by_the_search_alone(sweep_record: SweepRecord) -> None:
    assert FinalsAhead.of(replace(sweep_record, num_finalists=0)) is None
    sweep = replace(sweep_record, num_trials=8, num_finalists=2, num_seeds=3, final_epochs=13)
    ahead = FinalsAhead.of(sweep)
    assert ahead == FinalsAhead(num_trainings=6, num_epochs=13)
    assert read_line(ahead.to_line()) == [ahead]
    assert FinalsAhead.of(replace(sweep, num_trials=1)) == FinalsAhead(num_trainings=3, num_epochs=13)
    assert FinalsAhead.of(replace(sweep, parent="cnn-1", finalists=("t0000", "t0001"))) is None


def test_a_loss_that_is_not_finite_has_no_accuracy(epoch_metrics: list[EpochMetrics]) -> None:
    assert TrialEpoch.of(replace(epoch_metrics[0], train_loss=None)).validation_accuracy is None


def test_a_log_stays_small() -> None:
    """docs/reliability.md says by how much it grows."""
    epoch = TrialEpoch(trial_id="t9999", epoch=30, validation_accuracy=0.1234, seconds=99.9)
    assert sum(len(line) + 1 for line in trial_lines([epoch] * 1000)) < 25_000
    assert len(PROGRESS.to_line()) < 200


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "trials",
        "trials in all: 7",
        "trials t0001:4:0.5:1.0 t0002",
        "trials t0001:exploded",
        "trials t0001:1:nan:1.0",
        "trials t0001:1:0.5:1e9",
        "trials ../x:1:0.5:1.0",
        "asha",
        "asha trials=x max_epochs=3",
        "asha trials=3 max_epochs=0",
        "asha trials=3 max_epochs=3 colour=1",
        "finals of cnn-1: t0003, t0001, each retrained on 2 seeds",
        "cohorts of 16",
        "cohorts together=x",
        "finals trainings=4",
        "progress elapsed_s=x",
        "waiting for you",
        "stuck seconds=x 1 node",
    ],
)
def test_any_other_line_is_none(line: str) -> None:
    assert read_line(line) is None


WORDS = (
    "trials",
    "asha",
    "waiting",
    "progress",
    " ",
    "t0001",
    ":",
    "4",
    "0.5",
    "-",
    "stopped",
    "=",
    "seconds",
    "\n",
    "٣",
)


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=20).map("".join))
def test_any_line_is_news_or_none(line: str) -> None:
    assert read_line(line) is None or len(read_line(line) or ()) >= 1
