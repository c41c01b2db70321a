"""The books, fed by hand with what Ray Tune would tell."""

from dataclasses import replace
from typing import Any

import pytest

from cifar_ray.records import EpochMetrics, SweepRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.epoch_report import to_result
from cifar_ray.tuning.ledger import Ledger, summarise_sweep


class FakeTrial:
    """What the ledger looks at of a Ray Tune trial."""

    def __init__(self, trial_id: str) -> None:
        self.config = {"trial_id": trial_id, "settings": {"model": "classic_cnn"}}

    def get_error(self) -> str:
        return "Traceback (most recent call last):\n  …\nValueError: it broke\n"


class Books:
    def __init__(self, runs: RunStore, sweep: SweepRecord) -> None:
        self.runs, self.sweep, self.said = runs, sweep, []  # type: ignore[var-annotated]  # list[str]
        self.reopen()

    def reopen(self) -> None:
        self.ledger = Ledger(self.runs, self.sweep, self.said.append)
        self.ledger.setup()

    def metrics(self) -> list[EpochMetrics]:
        """As they were told, without what the ledger adds."""
        return [replace(line, node=None, ended_at=None) for line in self.runs.metrics("cnn-1")]

    def tell(self, event: str, trial: str, *lines: EpochMetrics) -> None:
        fake: Any = FakeTrial(trial)
        for line in lines:
            result = {**to_result(line), "node_ip": "10.0.0.1"}
            self.ledger.on_trial_result(0, [], fake, result)
        if event:
            getattr(self.ledger, event)(0, [], fake)


@pytest.fixture
def books(runs: RunStore, sweep_record: SweepRecord) -> Books:
    runs.create_sweep(sweep_record)
    return Books(runs, sweep_record)


def test_outcomes(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    long, short = epoch_metrics[:4], epoch_metrics[4:]
    for trial in ("t0000", "t0001"):
        books.tell("on_trial_start", trial)
    assert books.ledger.progress().running == 2
    books.tell("on_trial_complete", "t0000", *long)
    books.tell("on_trial_complete", "t0001", *short)
    books.ledger.on_experiment_end([])
    assert all(line.node == "10.0.0.1" and line.ended_at for line in books.runs.metrics("cnn-1"))
    first, second = books.runs.trials("cnn-1")
    assert (first.outcome, first.num_epochs, first.best_epoch) == ("completed", 4, 4)
    assert (second.outcome, second.num_epochs) == ("stopped", 1)
    assert first.seconds == pytest.approx(6.0)
    assert first.accelerator_seconds == pytest.approx(3.0)
    assert first.node == "10.0.0.1"
    assert books.metrics() == epoch_metrics
    result = summarise_sweep(books.runs, books.sweep, "2026-01-01T00:01:00+00:00")
    assert result is not None
    assert (result.ranking, result.wall_s, result.num_epochs) == (("t0000", "t0001"), 60.0, 5)


def test_a_diverged_trial_keeps_its_finite_best(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    books.tell("on_trial_start", "t0000")
    broken = replace(epoch_metrics[1], train_loss=None, validation_accuracy=0.99)
    books.tell("on_trial_complete", "t0000", epoch_metrics[0], broken)
    (trial,) = books.runs.trials("cnn-1")
    assert (trial.outcome, trial.best_epoch) == ("diverged", 1)


def test_a_failed_trial_has_its_reason(books: Books) -> None:
    books.tell("on_trial_start", "t0000")
    books.tell("on_trial_error", "t0000")
    (trial,) = books.runs.trials("cnn-1")
    assert (trial.outcome, trial.error) == ("failed", "ValueError: it broke")


def test_repeated_epochs_count_once_also_over_drivers(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    books.tell("on_trial_start", "t0000")
    books.tell("", "t0000", *epoch_metrics[:2])
    books.ledger.on_experiment_end([])
    books.reopen()
    books.tell("on_trial_start", "t0000")
    books.tell("on_trial_complete", "t0000", *epoch_metrics[:4])
    books.ledger.on_experiment_end([])
    assert books.metrics() == epoch_metrics[:4]
    (trial,) = books.runs.trials("cnn-1")
    assert (trial.outcome, trial.num_epochs, trial.best_epoch) == ("completed", 4, 4)
    assert trial.seconds == pytest.approx(6.0)


def test_a_sweep_with_a_trial_left_has_no_result(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    books.tell("on_trial_start", "t0000")
    books.tell("on_trial_complete", "t0000", *epoch_metrics[:4])
    assert summarise_sweep(books.runs, books.sweep, "2026-01-01T00:01:00+00:00") is None
    books.tell("on_trial_start", "t0001")
    assert summarise_sweep(books.runs, books.sweep, "2026-01-01T00:01:00+00:00") is None
