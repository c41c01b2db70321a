from dataclasses import replace

import pytest
from finished import finish

from cifar_ray.errors import CheckpointError, ConfigurationError, RecordError, UnknownNameError
from cifar_ray.evaluation.winners import load_winner, newest_finished_sweeps
from cifar_ray.finals import Finalist, Finals, Retraining
from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.runs import RunStore


def test_the_newest_finished_sweep_of_each_study(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, caplog: pytest.LogCaptureFixture
) -> None:
    for sweep_id, study, hour in (("a-1", "cnn", 1), ("a-2", "cnn", 3), ("a-3", "resnet", 2)):
        sweep = replace(sweep_record, sweep_id=sweep_id, study=study, started_at=f"2026-01-01T0{hour}:00:00+00:00")
        finish(runs, sweep, trial_record)
    finish(runs, replace(sweep, sweep_id="a-6", best_of="a-3", started_at="2026-01-01T10:00:00+00:00"), trial_record)
    unfinished = replace(sweep_record, sweep_id="a-4", started_at="2026-01-01T09:00:00+00:00")
    runs.create_sweep(unfinished)
    without_winner = replace(sweep_record, sweep_id="a-5", started_at="2026-01-01T10:00:00+00:00")
    finish(runs, without_winner, None)
    finish(runs, replace(sweep, sweep_id="a-7", study="finals", parent="a-3"), trial_record)
    runs.objects.write("a-8/sweep.json", b"{")
    assert newest_finished_sweeps(runs) == ["a-2", "a-3"]
    assert "passed over, since it cannot be read: a-8/sweep.json" in caplog.text


@pytest.fixture
def checkpoints(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, epoch_metrics: list[EpochMetrics]
) -> CheckpointStore:
    finish(runs, sweep_record, trial_record)
    runs.write_metrics("cnn-1", epoch_metrics)
    store = CheckpointStore(runs.objects, "cnn-1", "t0000")
    for epoch in (3, 4):
        store.save(
            Checkpoint(
                epoch=epoch, validation_accuracy=0.1 * epoch, config={}, weights=b"w%d" % epoch, trainer_state=b""
            )
        )
    return store


def test_the_best_epoch_on_validation_wins(runs: RunStore, checkpoints: CheckpointStore) -> None:
    winner = load_winner(runs, "cnn-1")
    assert winner.checkpoint.epoch == 4
    assert {line.trial_id for line in winner.metrics} == {"t0000"}


def test_weights_of_another_training_of_the_best_epoch_are_said_so(
    runs: RunStore, checkpoints: CheckpointStore, trial_record: TrialRecord
) -> None:
    """As after a loss: the epoch is trained again, and its first metrics stay."""
    result = runs.result("cnn-1")
    assert result is not None
    for recorded in (0.4, 0.45):
        runs.write_result(replace(result, winner=replace(trial_record, best_validation_accuracy=recorded)))
        remarks = load_winner(runs, "cnn-1").remarks
        assert [text.partition(": ")[2] for text in remarks] == (
            [] if recorded == 0.4 else ["scored with weights that have 40.00 % on validation; by 45.00 % it was chosen"]
        )


def test_a_damaged_best_checkpoint_is_passed_over_and_said_so(runs: RunStore, checkpoints: CheckpointStore) -> None:
    key = f"{layout.checkpoint('cnn-1', 't0000', 4)}/{layout.WEIGHTS}"
    runs.objects.write(key, b"W4")
    winner = load_winner(runs, "cnn-1")
    assert winner.checkpoint.epoch == 3
    assert "does not match its manifest" in winner.remarks[0]
    assert winner.remarks[1] == "scored with the weights of epoch 3, not 4"


def test_no_whole_checkpoint_left(runs: RunStore, checkpoints: CheckpointStore) -> None:
    for epoch in (3, 4):
        runs.objects.write(f"{layout.checkpoint('cnn-1', 't0000', epoch)}/{layout.WEIGHTS}", b"cut")
    with pytest.raises(CheckpointError, match=r"no complete checkpoint left: .*epoch-0004.* does not match its man"):
        load_winner(runs, "cnn-1")
    checkpoints.prune(keep=(), known=(3, 4))
    with pytest.raises(CheckpointError, match=r"no complete checkpoint left\n"):
        load_winner(runs, "cnn-1")


def test_unfinished_unknown_and_winnerless_sweeps(runs: RunStore, sweep_record: SweepRecord) -> None:
    runs.create_sweep(sweep_record)
    finish(runs, replace(sweep_record, sweep_id="cnn-2"), None)
    with pytest.raises(ConfigurationError, match="has not finished"):
        load_winner(runs, "cnn-1")
    with pytest.raises(ConfigurationError, match="has no winner"):
        load_winner(runs, "cnn-2")
    with pytest.raises(UnknownNameError, match="cnn-3"):
        load_winner(runs, "cnn-3")


@pytest.fixture
def finalist(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, checkpoints: CheckpointStore
) -> Finalist:
    """Three trainings of t0001, the second the best; the sweep's own best is t0000."""
    chosen = Finalist(
        trial_id="t0001",
        searched_accuracy=0.4,
        retrainings=tuple(
            Retraining(
                trial_id=f"t000{index}",
                seed=index,
                outcome="completed",
                best_epoch=2,
                best_validation_accuracy=accuracy,
            )
            for index, accuracy in enumerate((0.3, 0.5, 0.4))
        ),
    )
    finals = Finals(finalists=(chosen,), num_epochs=12, accelerator_seconds=0.0)
    result = runs.result("cnn-1")
    assert result is not None
    runs.write_result(replace(result, finals=finals))
    runs.write_trial("cnn-1", replace(trial_record, trial_id="t0001"))
    nested = runs.finals("cnn-1")
    for each in chosen.retrainings:
        CheckpointStore(nested.objects, "cnn-1-finals", each.trial_id).save(
            Checkpoint(
                epoch=2,
                validation_accuracy=each.best_validation_accuracy or 0.0,
                config={"seed": each.seed},
                weights=b"w",
                trainer_state=b"",
            )
        )
    return chosen


def test_of_finals_the_best_training_of_the_chosen_settings_wins(runs: RunStore, finalist: Finalist) -> None:
    winner = load_winner(runs, "cnn-1")
    assert (winner.trial.trial_id, winner.checkpoint.config, winner.remarks) == ("t0001", {"seed": 1}, ())
    assert [each.seed for each, _ in winner.retrained] == [1, 2, 0]


def test_a_training_whose_checkpoint_is_gone_is_left_out_and_said_so(runs: RunStore, finalist: Finalist) -> None:
    CheckpointStore(runs.finals("cnn-1").objects, "cnn-1-finals", "t0001").prune(keep=(), known=(2,))
    winner = load_winner(runs, "cnn-1")
    assert winner.checkpoint.config == {"seed": 2}, "of those left the best on validation"
    assert winner.remarks == ("2 of 3 trainings of t0001 could be scored",)
    nested = runs.finals("cnn-1").objects
    CheckpointStore(nested, "cnn-1-finals", "t0000").prune(keep=(), known=(2,))
    nested.write(f"{layout.checkpoint('cnn-1-finals', 't0002', 2)}/{layout.WEIGHTS}", b"cut")
    with pytest.raises(CheckpointError, match=r"no training of t0001 .* left: .*t0002.* does not match its manifest"):
        load_winner(runs, "cnn-1")


def test_a_chosen_trial_without_a_record_is_said_so(runs: RunStore, finalist: Finalist) -> None:
    runs.objects.delete(layout.trial_record("cnn-1", "t0001"))
    with pytest.raises(RecordError, match="sweep cnn-1 has lost the record of trial t0001"):
        load_winner(runs, "cnn-1")


def test_finals_without_a_winner_leave_the_sweeps_own(runs: RunStore, checkpoints: CheckpointStore) -> None:
    result = runs.result("cnn-1")
    assert result is not None
    runs.write_result(replace(result, finals=Finals(finalists=(), num_epochs=0, accelerator_seconds=0.0)))
    winner = load_winner(runs, "cnn-1")
    assert (winner.trial.trial_id, winner.checkpoint.epoch, winner.retrained) == ("t0000", 4, ())
    assert "sweep's own best" in winner.remarks[0]
