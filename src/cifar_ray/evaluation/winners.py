"""Finds a sweep's winner, on validation alone, and its weights."""

from __future__ import annotations

from dataclasses import dataclass

from cifar_ray.errors import CheckpointError, ConfigurationError
from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.runs import RunStore


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The best epoch of the best trial of a sweep."""

    sweep: SweepRecord
    trial: TrialRecord
    checkpoint: Checkpoint
    metrics: tuple[EpochMetrics, ...]
    """Of the trial's epochs."""
    remarks: tuple[str, ...]
    """What was passed over on the way."""


def newest_finished_sweeps(runs: RunStore) -> list[str]:
    """The newest finished sweep of each study, by study name."""
    newest: dict[str, str] = {}
    for summary in runs.summaries():
        if summary.result is not None and summary.result.winner is not None:
            newest.setdefault(summary.sweep.study, summary.sweep.sweep_id)
    return [newest[study] for study in sorted(newest)]


def load_winner(runs: RunStore, sweep_id: str) -> Winner:
    """The winner of a finished sweep.

    A damaged checkpoint is refused: the trial's whole one of the next best validation accuracy serves, and
    `remarks` say so. CheckpointError where the trial has no whole one.
    """
    sweep = runs.sweep(sweep_id)
    result = runs.result(sweep_id)
    if result is None:
        raise ConfigurationError(
            f"sweep {sweep_id} has not finished", f"finish it first: --sweep-id {sweep_id} --resume"
        )
    if result.winner is None:
        raise ConfigurationError(f"sweep {sweep_id} has no winner", "none of its trials finished an epoch")
    trial = result.winner
    remarks: list[str] = []
    checkpoint = CheckpointStore(runs.objects, sweep_id, trial.trial_id).load_best(remarks.append)
    if checkpoint is None:
        raise CheckpointError(f"trial {trial.trial_id} of sweep {sweep_id} has no whole checkpoint left")
    if checkpoint.epoch != trial.best_epoch:
        remarks.append(f"scored with the weights of epoch {checkpoint.epoch}, not {trial.best_epoch}")
    metrics = tuple(line for line in runs.metrics(sweep_id) if line.trial_id == trial.trial_id)
    return Winner(sweep=sweep, trial=trial, checkpoint=checkpoint, metrics=metrics, remarks=tuple(remarks))
