"""The records that are kept of a sweep, as frozen dataclasses that are stored as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from cifar_ray.errors import ConfigurationError, RecordError
from cifar_ray.finals import Finals
from cifar_ray.json_record import (
    DAMAGED,
    Amount,
    Count,
    Factor,
    Held,
    Instant,
    PositiveCount,
    Rate,
    Record,
    Seconds,
    Share,
    StudyName,
)
from cifar_ray.provenance import Hardware, Interruption, Resumption
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
    num_train: PositiveCount
    num_validation: PositiveCount
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    """Per channel (RGB) in [0, 1], of the training part alone."""
    standard_deviation: tuple[float, float, float]
    validation_share: Share = VALIDATION_SHARE
    """Of each class's images, held out of training for model selection."""


@dataclass(frozen=True, kw_only=True)
class SweepRecord(Record):
    """What a sweep set out to do, and on what."""

    sweep_id: str
    study: StudyName
    seed: int
    """Of the sampled configurations, the split, the batches and the augmentation."""
    num_trials: Count
    max_epochs: PositiveCount
    grace_period: PositiveCount
    reduction_factor: Factor
    accelerators_per_trial: Held
    cpus_per_trial: Held
    """As the accelerators, of a trial or of the cohort that it trains in."""
    dataset: DatasetRecord
    versions: Mapping[str, str]
    """Of Python and the packages that numbers depend on."""
    commit: str | None
    """Of the source that began it, where it is known."""
    hardware: Hardware
    started_at: Instant
    searcher: Searcher = "random"
    """Who chose the configurations."""
    is_cohort: bool = False
    """Whether its trials trained together, on shared batches."""
    num_finalists: Count = 0
    """How many of its best configurations are retrained once ASHA has ended."""
    num_seeds: Count = 0
    """How many times each of them is retrained."""
    final_epochs: Count | None = None
    """Of each of these trainings; None for `max_epochs`."""
    best_of: str | None = None
    """The sweep whose best configurations its trials train, or `report`; None where they were drawn or searched."""
    changes: tuple[str, ...] = ()
    """`name=value` of each setting in which its trials differ from those of `best_of`."""
    definition: str | None = None
    """The text of the file that defines its study; None of the package's own studies."""
    parent: str | None = None
    """The sweep whose finals this one is: its trials are the finalists' trainings, and none is stopped early."""
    finalists: tuple[str, ...] = ()
    """In finals: the parent's trials that are retrained, each `num_seeds` times in a row."""
    interruptions: tuple[Interruption, ...] = ()
    """In order; resuming the sweep keeps them."""
    resumptions: tuple[Resumption, ...] = ()
    """In order; also after a driver whose end left no interruption."""

    @property
    def budget(self) -> Budget:
        """The ASHA budget of its trials; RecordError where it can be none, as without trials."""
        try:
            return Budget(**{each.name: getattr(self, each.name) for each in fields(Budget)})
        except ConfigurationError as error:
            raise RecordError(f"sweep {self.sweep_id}: {error.message}", DAMAGED) from error

    @property
    def has_pauses(self) -> bool:
        """Whether a driver ended before it, so that its time may include some without one."""
        return bool(self.interruptions or self.resumptions)

    @property
    def commits(self) -> tuple[str | None, ...]:
        """Of all source that ran it, each once, in order."""
        return tuple(dict.fromkeys([self.commit, *(each.commit for each in self.resumptions)]))

    @property
    def device(self) -> Device:
        """The kind of device by which its trials' resource use is counted."""
        return "accelerator" if self.accelerators_per_trial > 0 else "core"

    @property
    def num_held(self) -> float:
        """How many of these devices a trial, or a cohort, holds."""
        return self.accelerators_per_trial or self.cpus_per_trial

    @property
    def epochs_of_finals(self) -> int:
        """The epochs of each training of its finals."""
        return self.final_epochs or self.max_epochs


@dataclass(frozen=True, kw_only=True)
class EpochMetrics(Record):
    """One epoch of one trial. Losses are mean cross-entropies (None: not finite), accuracies fractions."""

    trial_id: str
    epoch: PositiveCount
    """From 1."""
    train_loss: float | None
    train_accuracy: Share
    validation_loss: float | None
    validation_accuracy: Share
    learning_rate: Rate
    """In the epoch's last step."""
    seconds: Seconds
    """Wall time of the epoch, training and validation."""
    num_sharing: PositiveCount = 1
    """Trials that trained in the same pass of a cohort."""
    device: str | None = None
    """What it was trained on, and in which precision."""
    node: str | None = None
    """Address of the node that it was trained on."""
    ended_at: Instant | None = None
    """When the driver received it: ISO 8601, UTC."""

    @property
    def share_s(self) -> float:
        """Its part of `seconds`, which the trials of a cohort share; device-seconds if multiplied by what they hold."""
        return self.seconds / self.num_sharing

    @property
    def is_finite(self) -> bool:
        """Whether both losses are finite numbers; a trial where they are not has diverged."""
        return all(loss is not None and math.isfinite(loss) for loss in (self.train_loss, self.validation_loss))


@dataclass(frozen=True, kw_only=True)
class TrialEvent(Record):
    """What happened to a trial, as the driver saw it."""

    what: Literal["started", "lost", "ended"]
    at: Instant
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
    """Wall time of its epochs, each divided by the trials that shared it, times the accelerators held."""
    error: str | None = None
    """Of a failed trial: the last line of its traceback."""
    events: tuple[TrialEvent, ...] = ()
    """The latest ones, in order."""
    parent: str | None = None
    """In a population, the trial from whose last weights it started; its own epochs count from 1 all the same."""

    @property
    def has_ended(self) -> bool:
        """Whether no driver will train it again; one that failed is retried when its sweep is resumed.

        In an earlier generation of a population it is not retried: another has taken its place.
        """
        return self.outcome in ("completed", "stopped", "diverged")


@dataclass(frozen=True, kw_only=True)
class SweepResult(Record):
    """How a finished sweep ended. Its presence in the store says that the sweep has finished."""

    sweep_id: str
    study: StudyName
    ranking: tuple[str, ...]
    """Trial ids by best validation accuracy, best first; the winner is the first."""
    winner: TrialRecord | None
    """None where no trial finished an epoch with a finite loss."""
    outcomes: Mapping[str, Count]
    """The number of trials with each outcome."""
    num_epochs: Count
    """Includes the finals, as do `wall_s`, `accelerator_seconds` and `cost`."""
    wall_s: Amount
    accelerator_seconds: Amount
    finished_at: Instant
    cost: Cost | None = None
    """None in sweeps of versions that did not record it."""
    finals: Finals | None = None
    """Where the best were retrained: then the winner of the finals is the one that is scored on the test set."""

    @property
    def best_first(self) -> tuple[str, ...]:
        """Its trials that can be ranked: the finalists in the order of their finals, then the others."""
        finalists = [each.trial_id for each in self.finals.finalists] if self.finals else []
        return tuple(dict.fromkeys((*finalists, *self.ranking)))

    @property
    def validation_accuracy(self) -> float | None:
        """The best of the training that is scored, which in a sweep with finals is the best of their winner's."""
        scored = (self.finals.best if self.finals else None) or self.winner
        return scored.best_validation_accuracy if scored else None


@dataclass(frozen=True, kw_only=True)
class TestScores(Record):
    """A winner's scores on the test set, which is opened once for it."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    sweep_id: str
    study: StudyName
    trial_id: str
    """In the sweep; where it was retrained in finals, the first of `seeds` is the training that was scored."""
    epoch: Count
    """The one whose weights were scored."""
    config: Mapping[str, Any]
    validation_accuracy: Share
    validation_loss: float | None
    dataset: DatasetRecord
    test_fingerprint: str
    """SHA-256 over pixels and labels of the test images."""
    num_images: PositiveCount
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
    """By the mean logits of each image and its mirror image: reported besides `accuracy`, never instead."""
    seeds: tuple[SeedScore, ...] = ()
    """Where the winner was retrained on several seeds: each of those trainings, beginning with the one scored."""
    calibration: Calibration | None = None
    robustness: Robustness | None = None

    def __post_init__(self) -> None:
        if {len(self.confusion_matrix), *map(len, self.confusion_matrix)} != {len(self.accuracy_by_class)}:
            raise RecordError("TestScores.confusion_matrix: not a row and a column for each class")
