from dataclasses import replace

from cifar_ray.progress.counting import recounted, with_epoch
from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.storage.runs import RunStore

STARTED = TrialRecord(trial_id="t0000", config={"model": "classic_cnn"}, outcome="running", node="10.0.0.1")


def test_epochs_add_up(epoch_metrics: list[EpochMetrics]) -> None:
    shared = replace(epoch_metrics[1], num_sharing=3)
    trial = with_epoch(with_epoch(STARTED, epoch_metrics[0], 0.5), shared, 0.5)
    assert (trial.num_epochs, trial.best_epoch, trial.seconds) == (2, 2, 3.0)
    assert trial.accelerator_seconds == 0.75 + 0.25
    worse = with_epoch(trial, replace(epoch_metrics[2], validation_accuracy=0.01), 0.5)
    assert (worse.num_epochs, worse.best_epoch) == (3, 2)
    equal = with_epoch(trial, replace(epoch_metrics[2], validation_accuracy=shared.validation_accuracy), 0.5)
    assert (equal.num_epochs, equal.best_epoch) == (3, 2)
    diverged = with_epoch(trial, replace(epoch_metrics[2], train_loss=None), 0.5)
    assert diverged.best_epoch == 2


def test_recounting_twice_counts_once(epoch_metrics: list[EpochMetrics]) -> None:
    once = recounted(STARTED, epoch_metrics, 0.5)
    assert (once.num_epochs, once.best_epoch, once.node) == (4, 4, "10.0.0.1")
    assert recounted(once, epoch_metrics, 0.5) == once


def test_a_running_trial_has_its_epochs_so_far(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    runs.create_sweep(sweep_record)
    ended = replace(trial_record, trial_id="t0001", num_epochs=9)
    runs.write_trial("cnn-1", STARTED)
    runs.write_trial("cnn-1", ended)
    assert runs.trials_so_far("cnn-1")[0].num_epochs == 0
    runs.write_metrics("cnn-1", epoch_metrics)
    assert runs.trials_so_far("cnn-1") == [recounted(STARTED, epoch_metrics, 0.5), ended]
