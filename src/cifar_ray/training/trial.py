"""One trial's training: from a configuration to a stream of epoch metrics, resumable after every epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass

import pytorch_lightning as pl
import torch

from cifar_ray.data.resident import ResidentBatches
from cifar_ray.data.split import TrainingData
from cifar_ray.errors import CheckpointError
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.studies import TrialConfig
from cifar_ray.training.module import TrialModule
from cifar_ray.training.state import (
    TrainerState,
    pack_trainer_state,
    pack_weights,
    unpack_trainer_state,
    unpack_weights,
)

logger = logging.getLogger(__name__)

VALIDATION_BATCH_SIZE = 1000
NUM_NEWEST_KEPT = 2
"""Newest checkpoints kept besides the best: if the newest is damaged, the one before it serves."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What to train, on what, and where its checkpoints go."""

    trial_id: str
    config: TrialConfig
    data: TrainingData
    data_seed: int
    """Of the batches' order and the augmentation: the sweep's, the same for all its trials."""
    checkpoints: CheckpointStore
    num_threads: int = 1
    """Of torch, on the CPU."""


def choose_device() -> torch.device:
    """The accelerator that this process sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train_trial(trial: Trial, on_epoch: Callable[[EpochMetrics], None]) -> None:
    """Train to the last epoch, or until the loss is not finite.

    `on_epoch` is called after each epoch, once its checkpoint is in the store. A trial that finds a checkpoint
    first repeats the metrics of the epochs before it, so that whoever missed them hears of them, then goes on.
    Whatever `on_epoch` raises ends the training.
    """
    torch.set_num_threads(trial.num_threads)
    _Training(trial, on_epoch).run()


class _Training:
    """One process's share of a trial."""

    def __init__(self, trial: Trial, on_epoch: Callable[[EpochMetrics], None]) -> None:
        self._trial = trial
        self._report = on_epoch
        self._history: list[EpochMetrics] = []
        self._kept: set[int] = set()

    def run(self) -> None:
        """Resume where there is a checkpoint, then train the epochs that are left."""
        resumed = self._restore()
        for metrics in self._history:
            self._report(metrics)
        num_left = self._trial.config.max_epochs - len(self._history)
        if num_left <= 0 or not all(metrics.is_finite for metrics in self._history):
            return
        device = choose_device()
        train = self._batches(device, is_training=True)
        validation = self._batches(device, is_training=False)
        module = TrialModule(
            self._trial.config,
            trial_id=self._trial.trial_id,
            first_epoch=len(self._history) + 1,
            steps_per_epoch=len(train),
            resume_from=resumed[1] if resumed else None,
            on_epoch=lambda metrics: self._end_epoch(module, trainer, train, metrics),
        )
        if resumed:
            module.network.load_state_dict(unpack_weights(resumed[0].weights))
        train.set_epoch(module.epoch)
        trainer = _build_trainer(device, num_left)
        trainer.fit(module, train_dataloaders=train, val_dataloaders=validation)

    def _restore(self) -> tuple[Checkpoint, TrainerState] | None:
        """The newest whole checkpoint of this configuration, its history taken over."""
        self._kept = set(self._trial.checkpoints.epochs())
        checkpoint = self._trial.checkpoints.load_newest(_warn_of_damage)
        if checkpoint is None:
            return None
        if dict(checkpoint.config) != self._trial.config.to_dict():
            raise CheckpointError(
                f"the checkpoint of {self._trial.trial_id} is of other settings than the trial",
                "resume with the seed, trials and epochs of the sweep's first run",
            )
        state = unpack_trainer_state(checkpoint.trainer_state)
        self._history = [EpochMetrics(**values) for values in state.history]
        return checkpoint, state

    def _end_epoch(
        self, module: TrialModule, trainer: pl.Trainer, train: ResidentBatches, metrics: EpochMetrics
    ) -> None:
        self._history.append(metrics)
        if metrics.is_finite:
            self._save(module, metrics)
        else:
            trainer.should_stop = True
        train.set_epoch(metrics.epoch + 1)
        self._report(metrics)

    def _save(self, module: TrialModule, metrics: EpochMetrics) -> None:
        """Keep the best epoch and the newest; on equal accuracy the earlier epoch is the best."""
        history = [asdict(each) for each in self._history]
        self._trial.checkpoints.save(
            Checkpoint(
                epoch=metrics.epoch,
                validation_accuracy=metrics.validation_accuracy,
                config=self._trial.config.to_dict(),
                weights=pack_weights(module.network.state_dict()),
                trainer_state=pack_trainer_state(module.trainer_state(history)),
            )
        )
        self._kept.add(metrics.epoch)
        best = max(self._history, key=lambda each: (each.validation_accuracy, -each.epoch)).epoch
        keep = {best, *sorted(self._kept)[-NUM_NEWEST_KEPT:]}
        self._trial.checkpoints.prune(keep, self._kept)
        self._kept &= keep

    def _batches(self, device: torch.device, *, is_training: bool) -> ResidentBatches:
        data, config = self._trial.data, self._trial.config
        return ResidentBatches(
            data.train if is_training else data.validation,
            batch_size=config.batch_size if is_training else VALIDATION_BATCH_SIZE,
            device=device,
            mean=data.record.mean,
            standard_deviation=data.record.standard_deviation,
            shuffle=is_training,
            augment=is_training and config.augmentation,
            seed=self._trial.data_seed,
        )


def _build_trainer(device: torch.device, num_epochs: int) -> pl.Trainer:
    """Lightning's Trainer without its own logging, checkpoints and bars, which cost more than a small step."""
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if has_bf16 else "32-true",
        max_epochs=num_epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _warn_of_damage(reason: str) -> None:
    logger.warning("%s: passed over, the whole one before it is used", reason)
