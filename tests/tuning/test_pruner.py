"""What goes while a sweep runs."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from epoch_lines import make_line

from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning import pruner
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.epoch_report import to_result
from cifar_ray.tuning.ledger import Ledger
from cifar_ray.tuning.pruner import Pruner
from cifar_ray.tuning.signals import Stopping


class Sweep:
    """Three trials with a checkpoint each, and what Ray Tune tells of them, the books first."""

    def __init__(self, runs: RunStore, record: SweepRecord) -> None:
        self.runs, self.record = runs, record
        for trial in ("t0000", "t0001", "t0002"):
            self.store(trial).save(
                Checkpoint(epoch=1, validation_accuracy=0.1, config={}, weights=b"w", trainer_state=b"t")
            )
        self.drive()

    def drive(self) -> None:
        """In a driver of its own, which begins with what the store has."""
        self.ledger = Ledger(self.runs, self.record, lambda line: None, stopping=Stopping())
        self.callback = Pruner(self.runs, "cnn-1", self.ledger.trials)
        for each in (self.ledger, self.callback):
            each.setup()

    def store(self, trial: str) -> CheckpointStore:
        return CheckpointStore(self.runs.objects, "cnn-1", trial)

    def tell(self, trial: str, line: EpochMetrics | None = None) -> None:
        fake: Any = SimpleNamespace(config=assign(trial, {}))
        if line is None:
            for each in (self.ledger, self.callback):
                each.on_trial_complete(0, [], fake)
        else:
            self.ledger.on_trial_start(0, [], fake)
            for each in (self.ledger, self.callback):
                each.on_trial_result(0, [], fake, to_result(line))
        self.ledger._books.drain()

    def left(self) -> list[str]:
        self.callback.on_step_end(0, [])
        self.callback._executor.submit(lambda: None).result()
        return [trial for trial in ("t0000", "t0001", "t0002") if self.store(trial).epochs()]


@pytest.fixture
def sweep(runs: RunStore, sweep_record: SweepRecord, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    runs.create_sweep(sweep_record)
    monkeypatch.setattr(pruner, "PERIOD_S", 0.0)
    monkeypatch.setattr(pruner, "SETTLED_AFTER_S", 0.0)
    return Sweep(runs, sweep_record)


def test_only_ended_trials_behind_the_leader_lose_checkpoints(sweep: Sweep) -> None:
    for trial, accuracy in (("t0000", 0.5), ("t0001", 0.4), ("t0002", 0.3)):
        sweep.tell(trial, make_line(trial, 1, accuracy))
    assert sweep.left() == ["t0000", "t0001", "t0002"], "all may still win"
    sweep.tell("t0000")
    sweep.tell("t0001")
    assert sweep.left() == ["t0000", "t0002"], "one leads, one still trains"
    sweep.tell("t0002", make_line("t0002", 2, 0.6))
    sweep.tell("t0002")
    assert sweep.left() == ["t0002"], "the former leader has been overtaken"


def test_a_trial_that_has_just_ended_keeps_its_checkpoints(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruner, "SETTLED_AFTER_S", 60.0)
    sweep.tell("t0000", make_line("t0000", 1, 0.5))
    sweep.tell("t0001", make_line("t0001", 1, 0.4))
    sweep.tell("t0001")
    assert sweep.left() == ["t0000", "t0001", "t0002"]


def test_the_end_of_a_sweep_does_not_wait_for_removals(sweep: Sweep) -> None:
    """A store that is away would keep a driver that was told to stop from saying so."""
    may_end = threading.Event()
    removal = sweep.callback._executor.submit(may_end.wait, 20)
    left = sweep.callback._executor.submit(sweep.callback._remove, ["t0000"])
    sweep.callback.on_experiment_end([])
    assert not removal.done()
    may_end.set()
    left.result()
    assert sweep.store("t0000").epochs(), "what had not begun does not begin"


def test_a_later_driver_knows_which_trials_have_ended(sweep: Sweep, trial_record: TrialRecord) -> None:
    for trial, accuracy, outcome in (("t0000", 0.5, "completed"), ("t0001", 0.4, "stopped"), ("t0002", 0.3, "failed")):
        sweep.runs.write_trial(
            "cnn-1",
            TrialRecord(
                trial_id=trial,
                config=trial_record.config,
                outcome=outcome,  # type: ignore[arg-type]
                best_validation_accuracy=accuracy,
            ),
        )
    sweep.drive()
    assert sweep.left() == ["t0000", "t0002"], "the leader, and one that is tried again"
