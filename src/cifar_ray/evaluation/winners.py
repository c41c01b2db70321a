"""Finds a sweep's winner, on validation alone, and its weights."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from cifar_ray.errors import CheckpointError, ConfigurationError, RecordError, StorageError
from cifar_ray.finals import Finalist, Retraining
from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.runs import RunStore

logger = logging.getLogger(__name__)

_NO_WEIGHTS = (
    "a copy has weights where `cifar-ray results pull` was told --checkpoints; if the store's are gone or damaged, "
    "train again: `cifar-ray job submit STUDY --best-of SWEEP`"
)


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The best epoch of the best trial of a sweep, or of the best training of its finals' winner."""

    sweep: SweepRecord
    trial: TrialRecord
    checkpoint: Checkpoint
    metrics: tuple[EpochMetrics, ...]
    """Of all epochs of the training that `checkpoint` comes from."""
    remarks: tuple[str, ...]
    """What was passed over on the way, such as a damaged checkpoint."""
    retrained: tuple[tuple[Retraining, Checkpoint], ...] = ()
    """Of a sweep with finals: each training of the chosen configuration, that of `checkpoint` first."""


def newest_finished_sweeps(runs: RunStore) -> list[str]:
    """The ids of each study's newest finished sweep that has a winner, sorted by study name.

    Leaves out sweeps of `--best-of`, whose settings may be changed, and finals, which are scored with their sweep.
    A sweep whose records cannot be read is skipped with a warning. ConfigurationError where none is left.
    """
    newest: dict[str, str] = {}
    for summary in runs.summaries(_warn_of_unreadable):
        sweep, result = summary.sweep, summary.result
        if sweep.best_of is None and sweep.parent is None and result is not None and result.winner is not None:
            newest.setdefault(sweep.study, sweep.sweep_id)
    if not newest:
        raise ConfigurationError(
            f"no finished sweep in {runs.objects.uri}", "finish one first, such as `cifar-ray job submit cnn`"
        )
    return [newest[study] for study in sorted(newest)]


def _warn_of_unreadable(error: StorageError) -> None:
    logger.warning("passed over, since it cannot be read: %s", error.message)


def load_winner(runs: RunStore, sweep_id: str) -> Winner:
    """The winner of a finished sweep.

    A damaged checkpoint is refused: the trial's intact one of the next best validation accuracy takes its place, and
    `remarks` say so. CheckpointError where none is intact, RecordError where the finals' winner has no record left.
    ConfigurationError for a sweep that is unfinished or has no winner, and for finals, which are not scored by
    themselves: the test set would be opened twice for one sweep.
    """
    sweep = runs.sweep(sweep_id)
    if sweep.parent:
        raise ConfigurationError(
            f"{sweep_id} are the finals of {sweep.parent}, with which they are scored",
            f"evaluate {sweep.parent}, in the store that holds it",
        )
    result = runs.result(sweep_id)
    if result is None:
        raise ConfigurationError(
            f"sweep {sweep_id} has not finished", f"finish it first: --sweep-id {sweep_id} --resume"
        )
    if result.winner is None:
        raise ConfigurationError(f"sweep {sweep_id} has no winner", "none of its trials finished an epoch")
    if result.finals and (finalist := result.finals.winner):
        return _load_finalist(runs, sweep, finalist)
    trial = result.winner
    remarks: list[str] = []
    checkpoint = _load_best(runs, sweep_id, trial, remarks)
    if checkpoint is None:
        raise _no_weights(f"trial {trial.trial_id} of sweep {sweep_id} has no complete checkpoint left", remarks)
    if result.finals:
        remarks.insert(0, "no training of its finals can be scored: this is the sweep's own best")
    return Winner(
        sweep=sweep,
        trial=trial,
        checkpoint=checkpoint,
        metrics=_metrics(runs, sweep_id, trial.trial_id),
        remarks=tuple(remarks),
    )


def _load_finalist(runs: RunStore, sweep: SweepRecord, finalist: Finalist) -> Winner:
    nested, finals_id = runs.finals(sweep.sweep_id), layout.finals(sweep.sweep_id)
    ranked = sorted(finalist.retrainings, key=lambda each: -(each.best_validation_accuracy or 0.0))
    remarks: list[str] = []
    found = [(each, _load_best(nested, finals_id, each, remarks)) for each in ranked if each.best_epoch is not None]
    whole = tuple((each, checkpoint) for each, checkpoint in found if checkpoint is not None)
    if not whole:
        raise _no_weights(f"no training of {finalist.trial_id} of {finals_id} has a complete checkpoint left", remarks)
    if len(whole) < len(ranked):
        remarks.append(f"{len(whole)} of {len(ranked)} trainings of {finalist.trial_id} could be scored")
    scored, checkpoint = whole[0]
    trial = next((each for each in runs.trials(sweep.sweep_id) if each.trial_id == finalist.trial_id), None)
    if trial is None:
        raise RecordError.of_lost_trial(sweep.sweep_id, finalist.trial_id)
    return Winner(
        sweep=sweep,
        trial=trial,
        checkpoint=checkpoint,
        metrics=_metrics(nested, finals_id, scored.trial_id),
        remarks=tuple(remarks),
        retrained=whole,
    )


def _load_best(runs: RunStore, sweep_id: str, trial: TrialRecord | Retraining, remarks: list[str]) -> Checkpoint | None:
    checkpoint = CheckpointStore(runs.objects, sweep_id, trial.trial_id).load_best(remarks.append)
    if checkpoint is None:
        return None
    found, recorded = checkpoint.validation_accuracy, trial.best_validation_accuracy or 0.0
    if checkpoint.epoch != trial.best_epoch:
        remarks.append(f"scored with the weights of epoch {checkpoint.epoch}, not {trial.best_epoch}")
    elif found != recorded:
        remarks.append(
            f"epoch {checkpoint.epoch} of {trial.trial_id} was trained again after a loss: scored with weights that "
            f"have {100 * found:.2f} % on validation; by {100 * recorded:.2f} % it was chosen"
        )
    return checkpoint


def _no_weights(what: str, remarks: list[str]) -> CheckpointError:
    """With what is wrong with the first damaged checkpoint, if one is left."""
    return CheckpointError(": ".join([what, *remarks[:1]]), _NO_WEIGHTS)


def _metrics(runs: RunStore, sweep_id: str, trial_id: str) -> tuple[EpochMetrics, ...]:
    return tuple(line for line in runs.metrics(sweep_id) if line.trial_id == trial_id)
