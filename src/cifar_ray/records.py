"""What is kept about a run: frozen records, JSON both ways."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cifar_ray.errors import RecordError
from cifar_ray.finals import Finals
from cifar_ray.json_record import Amount, Count, Record, Share, Some
from cifar_ray.resource_use import Cost, Device
from cifar_ray.scrutiny import Calibration, Mistake, ReliabilityBin, Robustness, SeedScore
from cifar_ray.studies.study import VALIDATION_SHARE, Budget, Searcher

Outcome = Literal["running", "completed", "stopped", "diverged", "failed"]
"""completed: trained to its last epoch; stopped: ended early by ASHA; diverged: a loss that is not finite."""


@dataclass(frozen=True, kw_only=True)
class DatasetRecord(Record):
    """Which images a run saw."""

    source: str
    """The string that named it: `cifar10`, `shapes`, a folder or an `s3://` prefix."""
    name: str
    """What tables and figures call it."""
    fingerprint: str
    """SHA-256 over pixels and labels of the training images, as read (before the split)."""
    num_train: Some
    num_validation: Some
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    """Per channel (RGB) in [0, 1], of the training part alone."""
    standard_deviation: tuple[float, float, float]
    validation_share: Share = VALIDATION_SHARE
    """Of each class's images, held out of training to choose by."""


@dataclass(frozen=True, kw_only=True)
class Interruption(Record):
    """An end of a sweep's driver before the sweep's own, as far as the driver could still write it down."""

    at: str
    """ISO 8601, UTC."""
    why: str


@dataclass(frozen=True, kw_only=True)
class SweepRecord(Record):
    """What a sweep set out to do, and on what."""

    sweep_id: str
    study: str
    seed: int
    """Of the sampled configurations, the split, the batches and the augmentation."""
    num_trials: Count
    max_epochs: Count
    grace_period: Count
    reduction_factor: Count
    accelerators_per_trial: Amount
    cpus_per_trial: Amount
    """Both of a trial, or of the cohort that it trains in."""
    dataset: DatasetRecord
    versions: Mapping[str, str]
    """Of Python and the packages that numbers depend on."""
    commit: str | None
    """Of the source that ran, where it is known."""
    hardware: Mapping[str, str]
    started_at: str
    """ISO 8601, UTC."""
    searcher: Searcher = "random"
    """Who chose the configurations."""
    is_cohort: bool = False
    """Whether its trials trained together, on shared batches."""
    num_finalists: Count = 0
    """How many of its best configurations are trained anew once ASHA has ended."""
    num_seeds: Count = 0
    """How often each of them is."""
    final_epochs: Count | None = None
    """Of each of these trainings; None for as many as a trial's most."""
    best_of: str | None = None
    """The sweep whose best configurations its trials train; None where they were drawn or searched."""
    changes: tuple[str, ...] = ()
    """`name=value` of each setting that its trials have otherwise than those of `best_of`."""
    parent: str | None = None
    """The sweep whose finals this one is: its trials are the finalists' trainings, and none is cut."""
    finalists: tuple[str, ...] = ()
    """Of finals: the parent's trials that they train anew, `num_seeds` times in a row each."""
    interruptions: tuple[Interruption, ...] = ()
    """In their order; a sweep that was resumed has them still."""

    @property
    def budget(self) -> Budget:
        """What its trials get."""
        return Budget(
            num_trials=self.num_trials,
            max_epochs=self.max_epochs,
            grace_period=self.grace_period,
            reduction_factor=self.reduction_factor,
        )

    @property
    def device(self) -> Device:
        """What its trials' use is counted in."""
        return "accelerator" if self.accelerators_per_trial > 0 else "core"

    @property
    def num_held(self) -> float:
        """Of these devices: what a trial, or a cohort, holds."""
        return self.accelerators_per_trial or self.cpus_per_trial

    @property
    def epochs_of_finals(self) -> int:
        """Of each training of its finals."""
        return self.final_epochs or self.max_epochs


@dataclass(frozen=True, kw_only=True)
class EpochMetrics(Record):
    """One epoch of one trial. Losses are mean cross-entropies (None: not finite), accuracies fractions."""

    trial_id: str
    epoch: Count
    """From 1."""
    train_loss: float | None
    train_accuracy: Share
    validation_loss: float | None
    validation_accuracy: Share
    learning_rate: Amount
    """In the epoch's last step."""
    seconds: Amount
    """Wall time of the epoch, training and validation."""
    num_sharing: Some = 1
    """Trials that trained as one cohort in that time."""
    device: str | None = None
    """What it was trained on, and in which precision."""
    node: str | None = None
    """Address of the node that it was trained on."""
    ended_at: str | None = None
    """When the driver heard of it: ISO 8601, UTC."""

    @property
    def share_s(self) -> float:
        """Its part of these seconds, which the trials of a cohort share; times what they hold, device-seconds."""
        return self.seconds / self.num_sharing

    @property
    def is_finite(self) -> bool:
        """Whether both losses are finite numbers; a trial where they are not has diverged."""
        return all(loss is not None and math.isfinite(loss) for loss in (self.train_loss, self.validation_loss))


@dataclass(frozen=True, kw_only=True)
class TrialEvent(Record):
    """What happened to a trial's process, as the driver heard of it."""

    what: Literal["started", "lost", "ended"]
    at: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord(Record):
    """What became of one sampled configuration."""

    trial_id: str
    config: Mapping[str, Any]
    outcome: Outcome
    num_epochs: Count = 0
    """Epochs trained, each counted once."""
    best_epoch: Count | None = None
    """The epoch of the best validation accuracy: its weights are the trial's."""
    best_validation_accuracy: Share | None = None
    node: str | None = None
    """Address of the node that it ran on last."""
    seconds: Amount = 0.0
    """Wall time of its epochs."""
    accelerator_seconds: Amount = 0.0
    """Of its epochs, each divided by the trials that shared it, times the accelerators held."""
    error: str | None = None
    """Of a failed trial: the last line of its traceback."""
    events: tuple[TrialEvent, ...] = ()
    """The latest of them, in their order."""
    parent: str | None = None
    """The trial whose last weights it began with, in a population; its own epochs count from 1 all the same."""

    @property
    def has_ended(self) -> bool:
        """Whether no driver trains it any more; one that failed is tried again when its sweep is resumed.

        Not so in an earlier generation of a population, where another has taken its place.
        """
        return self.outcome in ("completed", "stopped", "diverged")


@dataclass(frozen=True, kw_only=True)
class SweepResult(Record):
    """How a finished sweep ended. Its presence in the store says that the sweep has finished."""

    sweep_id: str
    study: str
    ranking: tuple[str, ...]
    """Trial ids by best validation accuracy, best first; the winner is the first."""
    winner: TrialRecord | None
    """None where no trial finished an epoch with a finite loss."""
    outcomes: Mapping[str, Count]
    """From outcome to the number of its trials."""
    num_epochs: Count
    """As what follows, with those of the finals."""
    wall_s: Amount
    accelerator_seconds: Amount
    finished_at: str
    cost: Cost | None = None
    """None in sweeps of versions that did not count it."""
    finals: Finals | None = None
    """Where the best were trained anew: then their winner is the one that is scored on the test set."""

    @property
    def best_first(self) -> tuple[str, ...]:
        """Its trials that can be ranked: the finalists in the order of their finals, then the others."""
        finalists = [each.trial_id for each in self.finals.finalists] if self.finals else []
        return tuple(dict.fromkeys((*finalists, *self.ranking)))

    @property
    def validation_accuracy(self) -> float | None:
        """The best one of the training that is scored: where it had finals, of the best of their winner's."""
        scored = (self.finals.best if self.finals else None) or self.winner
        return scored.best_validation_accuracy if scored else None


@dataclass(frozen=True, kw_only=True)
class TestScores(Record):
    """A winner on the test set, which is opened once for it."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    sweep_id: str
    study: str
    trial_id: str
    """Of the sweep; where it was trained anew in finals, the first of `seeds` is the training that was scored."""
    epoch: Count
    """Whose weights were scored."""
    config: Mapping[str, Any]
    validation_accuracy: Share
    validation_loss: float | None
    dataset: DatasetRecord
    test_fingerprint: str
    """SHA-256 over pixels and labels of the test images."""
    num_images: Some
    accuracy: Share
    accuracy_interval: tuple[Share, Share]
    """95 % Wilson score interval."""
    loss: float
    accuracy_by_class: Mapping[str, Share]
    class_mean: Share
    class_standard_deviation: Share
    """Population standard deviation between classes."""
    animals: Share | None
    vehicles: Share | None
    confusion_matrix: tuple[tuple[Count, ...], ...]
    """Rows are true classes, columns predicted ones."""
    device: str
    commit: str | None
    versions: Mapping[str, str]
    scored_at: str
    remarks: tuple[str, ...] = ()
    """What a reader must know, such as a damaged checkpoint that was passed over."""
    reliability: tuple[ReliabilityBin, ...] = ()
    """Bins of equal width over [0, 1]."""
    mistakes: tuple[Mistake, ...] = ()
    """The most confident ones, the worst first."""
    accuracy_with_flips: Share | None = None
    """By the mean of the logits of each image and its mirror image: reported apart, never instead."""
    seeds: tuple[SeedScore, ...] = ()
    """Where the winner was trained anew on several seeds: each of those trainings, the one that was scored first."""
    calibration: Calibration | None = None
    robustness: Robustness | None = None

    def __post_init__(self) -> None:
        sides = {len(self.accuracy_by_class), len(self.confusion_matrix), *map(len, self.confusion_matrix)}
        if len(sides) != 1:
            raise RecordError("TestScores.confusion_matrix: not a row and a column for each class")
