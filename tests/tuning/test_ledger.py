"""The books, fed by hand with what Ray Tune would tell."""

import traceback
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial

from cifar_ray.errors import CredentialsError, StorageError, StoreUnavailableError
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.bookkeeper import Bookkeeper
from cifar_ray.tuning.cost import PERIOD_S
from cifar_ray.tuning.epoch_report import PASS_KEY, to_result
from cifar_ray.tuning.ledger import STOPPED_DRAIN_S, Ledger, summarise_sweep
from cifar_ray.tuning.signals import Stopping
from cifar_ray.tuning.standing import Standing


class FakeTrial:
    """What the ledger looks at of a Ray Tune trial."""

    def __init__(self, trial_id: str) -> None:
        self.config = assign(trial_id, {"model": "classic_cnn"})
        self.error_file = "/nowhere"
        self.status = Trial.RUNNING


class Books:
    def __init__(self, runs: RunStore, sweep: SweepRecord) -> None:
        self.runs, self.sweep, self.said = runs, sweep, []  # type: ignore[var-annotated]  # list[str]
        self.reopen()

    def reopen(self) -> None:
        self.stopping = Stopping()
        self.ledger = Ledger(self.runs, self.sweep, self.said.append, stopping=self.stopping)
        self.ledger.setup()

    def count(self, *running: str) -> int:
        """How many train, by the books, when Ray Tune has processes of these."""
        trials: Any = [FakeTrial(trial) for trial in running]
        self.ledger._meter._counted -= PERIOD_S
        self.ledger.on_step_end(0, trials)
        return self.ledger.progress().running

    def result(self, at: str = "2026-01-01T00:01:00+00:00") -> SweepResult:
        """A minute after it began, or at another time."""
        found = summarise_sweep(self.runs, self.sweep, at)
        assert found is not None
        return found

    def metrics(self) -> list[EpochMetrics]:
        """As they were told, without what the ledger adds."""
        return [replace(line, node=None, ended_at=None) for line in self.runs.metrics("cnn-1")]

    def tell(self, event: str, trial: str, *lines: EpochMetrics, num_repeated: int = 0) -> None:
        """The first `num_repeated` of `lines` come from the trial's checkpoint."""
        fake: Any = FakeTrial(trial)
        for index, line in enumerate(lines):
            standings = [] if index < num_repeated else [Standing.of(line)]
            result = {**to_result(line, standings), "node_ip": "10.0.0.1"}
            self.ledger.on_trial_result(0, [], fake, result)
            # Ray Tune keeps it
            assert PASS_KEY not in result
        if event:
            getattr(self.ledger, event)(0, [], fake)
        self.ledger._books.drain()


@pytest.fixture
def books(runs: RunStore, sweep_record: SweepRecord) -> Books:
    runs.create_sweep(sweep_record)
    return Books(runs, sweep_record)


def test_outcomes(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    long, short = epoch_metrics[:4], epoch_metrics[4:]
    for trial in ("t0000", "t0001"):
        books.tell("on_trial_start", trial)
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
    result = books.result()
    assert (result.ranking, result.wall_s, result.num_epochs) == (("t0000", "t0001"), 60.0, 5)


def test_a_diverged_trial_keeps_its_finite_best(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    books.tell("on_trial_start", "t0000")
    broken = replace(epoch_metrics[1], train_loss=None, validation_accuracy=0.99)
    books.tell("on_trial_complete", "t0000", epoch_metrics[0], broken)
    (trial,) = books.runs.trials("cnn-1")
    assert (trial.outcome, trial.best_epoch) == ("diverged", 1)
    progress = books.ledger.progress()
    assert (progress.diverged, progress.failed, progress.epochs) == (1, 0, 2)


RAISED = "\x1b[36mray::Func.train()\x1b[39m (pid=1)\n  File …\nValueError: it broke\nand more\n"
DIED = "The actor died unexpectedly before finishing this task.\n\tpid: 1\nThe actor is dead because {}.\n"


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (RAISED, "ValueError: it broke"),
        (DIED.format("its process was killed"), "The actor is dead because its process was killed."),
        (DIED.format("it was killed by `ray.kill`"), "it hung: no epoch came in time, and its process was ended"),
        (
            "1 worker(s) were killed due to the node running low on memory.\nmore\n",
            "1 worker(s) were killed due to the ",
        ),
        (None, "unknown error"),
    ],
)
def test_a_failed_trial_has_its_last_reason(books: Books, tmp_path: Path, failure: str | None, reason: str) -> None:
    trial: Any = FakeTrial("t0000")
    books.ledger.on_trial_start(0, [], trial)
    if failure is not None:
        trial.error_file = tmp_path / "error.txt"
        trial.error_file.write_text(
            f"Failure # 1 (occurred at …)\nKeyError: before\nFailure # 2 (occurred at …)\n{failure}"
        )
    books.ledger.on_trial_error(0, [], trial)
    books.ledger._books.drain()
    (record,) = books.runs.trials("cnn-1")
    assert record.outcome == "failed"
    assert str(record.error).startswith(reason)
    progress = books.ledger.progress()
    assert (progress.diverged, progress.failed) == (0, 1)
    # a resumed sweep lets it try again
    books.tell("on_trial_start", "t0000")
    (record,) = books.runs.trials("cnn-1")
    assert (record.outcome, record.error) == ("running", None)


@pytest.mark.parametrize("kind", [StorageError, StoreUnavailableError, CredentialsError])
def test_a_trial_that_the_store_failed_has_not_failed_itself(books: Books, tmp_path: Path, kind: type) -> None:
    trial: Any = FakeTrial("t0000")
    books.ledger.on_trial_start(0, [], trial)
    trial.error_file = tmp_path / "error.txt"
    raised = "".join(traceback.format_exception_only(kind("no room in /mnt", "make some")))
    trial.error_file.write_text(f"Failure # 3 (occurred at …)\nray::Func.train() (pid=1)\n  File …\n{raised}")
    with pytest.raises(StorageError, match="trial t0000: no room in /mnt") as broke_off:
        books.ledger.on_trial_error(0, [], trial)
    assert "every node" in broke_off.value.hint
    books.ledger._books.drain()
    (record,) = books.runs.trials("cnn-1")
    assert (record.outcome, [event.what for event in record.events]) == ("running", ["started", "lost"])
    assert summarise_sweep(books.runs, replace(books.sweep, num_trials=1), "2026-01-01T00:01:00+00:00") is None


def test_what_is_held_is_counted_over_all_drivers(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    books.tell("on_trial_start", "t0000")
    books.count("t0000")
    books.tell("", "t0000", epoch_metrics[0])
    books.ledger.on_experiment_end([])
    held_s = books.runs.use("cnn-1").held_s
    assert held_s >= PERIOD_S / 2
    books.reopen()
    books.tell("", "t0000", epoch_metrics[1])
    books.ledger.on_experiment_end([])
    assert books.runs.use("cnn-1").held_s >= held_s


def test_a_trial_that_waits_for_a_process_or_an_engine_does_not_run(books: Books, sweep_record: SweepRecord) -> None:
    assert books.count() == 0
    for trial in ("t0000", "t0001"):
        books.tell("on_trial_start", trial)
    assert books.count("t0000", "t0001") == 2
    books.tell("on_trial_complete", "t0001")
    assert books.ledger.progress().running == 1, "until Ray Tune is looked at again, which is no sooner than a second"
    books.tell("on_trial_start", "t0001")
    lost: Any = FakeTrial("t0000")
    books.ledger.on_trial_recover(0, [], lost)
    assert books.count("t0001") == 1
    for num_up, num_running in ((0, 0), (1, 1)):
        engines: Any = SimpleNamespace(num_up=lambda number=num_up: number)
        books.ledger = Ledger(books.runs, sweep_record, books.said.append, engines=engines, stopping=Stopping())
        books.ledger.setup()
        before = books.ledger._meter.use.held_s
        assert books.count("t0001") == num_running
        assert (books.ledger._meter.use.held_s > before) == bool(num_up)


@pytest.mark.parametrize(
    ("share", "device", "is_said"),
    [
        (1.0, "cpu, 32-true", True),
        (0.0, "cpu, 32-true", False),
        (1.0, "NVIDIA H100, bf16-mixed", False),
        (1.0, None, False),
    ],
)
def test_an_accelerator_that_torch_does_not_find_is_named_once(
    runs: RunStore,
    sweep_record: SweepRecord,
    epoch_metrics: list[EpochMetrics],
    share: float,
    device: str | None,
    is_said: bool,
) -> None:
    runs.create_sweep(sweep := replace(sweep_record, accelerators_per_trial=share))
    books = Books(runs, sweep)
    books.tell("on_trial_start", "t0000")
    books.tell("", "t0000", *(replace(line, device=device) for line in epoch_metrics[:2]))
    assert sum("train on cpu: torch finds none on 10.0.0.1" in line for line in books.said) == is_said


def test_an_epochs_node_is_the_one_that_trained_it(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    """Ray Tune knows that of a trial's process alone, and those of cohorts have none."""
    books.tell("on_trial_start", "t0000")
    books.tell("", "t0000", replace(epoch_metrics[0], node="10.0.0.9"), epoch_metrics[1])
    books.ledger._books.drain()
    assert [line.node for line in books.runs.metrics("cnn-1")] == ["10.0.0.9", "10.0.0.1"]
    books.tell("", "t0000", replace(epoch_metrics[0], node="10.0.0.7"), num_repeated=1)
    assert books.ledger._meter.use.repeated_s == 0, "told again, from its history"


def test_events_of_a_trials_process_are_recorded(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    trial: Any = FakeTrial("t0000")
    books.tell("on_trial_start", "t0000")
    books.tell("", "t0000", *epoch_metrics[:1])
    books.ledger.on_trial_recover(0, [], trial)
    books.ledger._books.drain()
    books.reopen()
    books.tell("on_trial_start", "t0000")
    books.tell("on_trial_complete", "t0000", *epoch_metrics[1:4])
    (record,) = books.runs.trials("cnn-1")
    assert [event.what for event in record.events] == ["started", "lost", "started", "ended"]
    assert [event.at for event in record.events] == sorted(event.at for event in record.events)


def test_repeated_epochs_count_once_also_over_drivers(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    books.tell("on_trial_start", "t0000")
    books.tell("", "t0000", *epoch_metrics[:2])
    books.ledger.on_experiment_end([])
    books.reopen()
    books.tell("on_trial_start", "t0000")
    books.tell("on_trial_complete", "t0000", *epoch_metrics[:4], num_repeated=2)
    books.ledger.on_experiment_end([])
    assert books.metrics() == epoch_metrics[:4]
    (trial,) = books.runs.trials("cnn-1")
    assert (trial.outcome, trial.num_epochs, trial.best_epoch) == ("completed", 4, 4)
    assert trial.seconds == pytest.approx(6.0)
    assert books.runs.use("cnn-1").repeated_s == 0, "told again, not trained again"


def test_epochs_whose_trial_has_no_record_are_counted(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    """A driver that was killed between the two had written the one and not the other."""
    books.runs.write_metrics("cnn-1", epoch_metrics[:2])
    books.reopen()
    books.tell("on_trial_start", "t0000")
    books.tell("on_trial_complete", "t0000", epoch_metrics[0])
    (trial,) = books.runs.trials("cnn-1")
    assert (trial.num_epochs, trial.best_epoch, trial.seconds) == (2, 2, pytest.approx(3.0))


def test_epochs_of_a_deleted_trial_are_not_those_of_the_one_that_a_searcher_chooses_in_its_place(
    books: Books, epoch_metrics: list[EpochMetrics]
) -> None:
    books.sweep = replace(books.sweep, searcher="tpe")
    books.tell("on_trial_start", "t0000")
    books.tell("on_trial_complete", "t0000", *epoch_metrics[:2])
    books.runs.objects.delete(layout.trial_record("cnn-1", "t0000"))
    books.reopen()
    worse = replace(epoch_metrics[0], validation_accuracy=0.01)
    books.tell("on_trial_start", "t0000")
    books.tell("on_trial_complete", "t0000", worse)
    assert books.metrics() == [worse]
    (record,) = books.runs.trials("cnn-1")
    assert (record.num_epochs, record.best_validation_accuracy) == (1, 0.01)


def test_epochs_trained_again_are_part_of_the_cost(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    books.tell("on_trial_start", "t0000")
    books.tell("", "t0000", *epoch_metrics[:2])
    books.ledger.on_experiment_end([])
    books.reopen()
    # a quicker one costs, too
    again = replace(epoch_metrics[1], seconds=1.0)
    books.tell("", "t0000", epoch_metrics[0], again, num_repeated=1)
    # its process is lost once more, and then the driver: by now the checkpoint is of the second training
    books.tell("", "t0000", epoch_metrics[0], again, num_repeated=2)
    books.ledger.on_experiment_end([])
    books.reopen()
    books.tell("on_trial_complete", "t0000", epoch_metrics[0], again, *epoch_metrics[2:4], num_repeated=2)
    books.tell("on_trial_start", "t0001")
    books.tell("on_trial_error", "t0001", *epoch_metrics[4:])
    books.ledger.on_experiment_end([])
    assert books.runs.use("cnn-1").repeated_s == pytest.approx(0.5)
    cost = books.result().cost
    assert cost is not None
    assert (cost.useful_s, cost.repeated_s) == (pytest.approx(3.0), pytest.approx(0.5))
    assert cost.failed_s == pytest.approx(epoch_metrics[4].seconds / 2)
    assert books.metrics() == epoch_metrics, "the first time counts"


@pytest.mark.fault("the clock jumps")
def test_a_clock_that_was_set_back_gives_no_negative_time(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    books.tell("on_trial_start", "t0000")
    books.tell("on_trial_complete", "t0000", *epoch_metrics[:4])
    books.tell("on_trial_start", "t0001")
    books.tell("on_trial_complete", "t0001", *epoch_metrics[4:])
    assert books.result("1999-01-01T00:00:00+00:00").wall_s == 0


def test_a_sweep_with_a_trial_left_has_no_result(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    books.tell("on_trial_start", "t0000")
    books.tell("on_trial_complete", "t0000", *epoch_metrics[:4])
    assert summarise_sweep(books.runs, books.sweep, "2026-01-01T00:01:00+00:00") is None
    books.tell("on_trial_start", "t0001")
    assert summarise_sweep(books.runs, books.sweep, "2026-01-01T00:01:00+00:00") is None


def test_the_ranking_is_by_accuracy_then_by_id(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    runs.create_sweep(sweep := replace(sweep_record, num_trials=3))
    books = Books(runs, sweep)
    for trial, accuracy in (("t0002", 0.5), ("t0001", 0.5), ("t0000", 0.3)):
        books.tell("on_trial_start", trial)
        line = replace(epoch_metrics[0], trial_id=trial, validation_accuracy=accuracy)
        books.tell("on_trial_complete", trial, line)
    assert books.ledger.progress().best_validation_accuracy == 0.5
    result = books.result()
    assert result.winner is not None
    assert (result.winner.trial_id, result.ranking) == ("t0001", ("t0001", "t0002", "t0000"))


def test_trials_of_a_cohort_share_what_they_use(books: Books, epoch_metrics: list[EpochMetrics]) -> None:
    for line in (epoch_metrics[0], epoch_metrics[4]):
        books.tell("on_trial_start", line.trial_id)
        books.tell("", line.trial_id, replace(line, num_sharing=2))
    books.count("t0000", "t0001")
    assert books.ledger._accelerators_in_use() == 0.5


def test_only_a_driver_that_is_told_to_stop_waits_briefly_for_the_store(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float | None] = []
    monkeypatch.setattr(Bookkeeper, "drain", lambda books, deadline_s=None: waited.append(deadline_s))
    books.ledger.on_experiment_end([])
    books.stopping.tell()
    books.ledger.on_experiment_end([])
    assert waited == [None, STOPPED_DRAIN_S]
