"""Holds the state of one trial in training: network, optimiser, schedule and history, from checkpoint to checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cifar_ray.errors import CheckpointError, ConfigurationError
from cifar_ray.models import build_model
from cifar_ray.models.speed_net import SpeedNet
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.uploading import CheckpointUploader
from cifar_ray.studies import TrialConfig
from cifar_ray.training.averaging import WeightAverage
from cifar_ray.training.optimization import build_optimizer, build_scheduler
from cifar_ray.training.state import (
    TrainerState,
    load_weights,
    pack_trainer_state,
    pack_weights,
    unpack_trainer_state,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What to train, and where its checkpoints go."""

    trial_id: str
    config: TrialConfig
    checkpoints: CheckpointStore
    parent: CheckpointStore | None = None
    """Checkpoints of the trial from whose newest weights this one starts; only adjustable settings may differ."""


class Learner:
    """A trial in training, restored from its newest complete checkpoint if it has one, else from its parent's.

    A trial inherits its parent's weights and optimiser state; epochs, schedule and settings are its own.

    The caller steps `optimizer` and `scheduler` on the parameters of `network` and reports each epoch with `end_epoch`.
    CheckpointError where the stored checkpoint is of other settings, or the parent has none.
    """

    def __init__(
        self,
        trial: Trial,
        *,
        device: torch.device,
        steps_per_epoch: int,
        executor: Executor,
        sample: Callable[[], Tensor] | None = None,
    ) -> None:
        """`sample` returns normalised training images, to which a network's first layer may be fitted."""
        self.trial = trial
        self.history: list[EpochMetrics] = []
        self.data_pass = 0
        self._num_before = 0
        checkpoint = trial.checkpoints.load_newest(_warn_of_damage)
        state = self._check(checkpoint) if checkpoint else None
        inherited = self._load_parent(trial.parent) if checkpoint is None and trial.parent else None
        self.network = build_model(trial.config)
        if start := checkpoint or inherited:
            load_weights(self.network, start.weights)
        elif isinstance(self.network, SpeedNet) and sample is not None:
            self.network.whiten(sample())
        self.network.to(device)
        self.optimizer = build_optimizer(trial.config, self.network)
        self.scheduler = build_scheduler(trial.config, self.optimizer, steps_per_epoch)
        self._steps_per_epoch = steps_per_epoch
        num_steps = steps_per_epoch * trial.config.max_epochs
        self.average = (
            None if trial.config.averaging == "none" else WeightAverage(trial.config, self.network, num_steps)
        )
        if inherited is not None:
            state = self._as_heir(unpack_trainer_state(inherited.trainer_state))
        if state is not None:
            self._take_up(state)
        stored = set(trial.checkpoints.remove_partial())
        accuracies = {each.epoch: each.validation_accuracy for each in self.history if each.epoch in stored}
        self._uploader = CheckpointUploader(
            trial.checkpoints, executor, trial.checkpoints.remove_damaged_best(accuracies)
        )

    @property
    def epoch(self) -> int:
        """The next epoch, counted from 1."""
        return len(self.history) + 1

    @property
    def age(self) -> int:
        """The next epoch in the life of the weights, counted from 1 and including the epochs of earlier trials."""
        return self._num_before + self.epoch

    @property
    def num_steps(self) -> int:
        """Optimiser steps of the epochs so far."""
        return len(self.history) * self._steps_per_epoch

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are trained, or the last one's loss was not finite."""
        is_diverged = bool(self.history) and not self.history[-1].is_finite
        return is_diverged or self.epoch > self.trial.config.max_epochs

    @property
    def dropout_seed(self) -> int:
        """Seed of the next epoch's dropout masks: from `seed` and age alone, so that resuming repeats them."""
        return self.trial.config.seed * 100_003 + self.age

    def end_epoch(self, metrics: EpochMetrics, data_pass: int) -> None:
        """Record an epoch and, unless it diverged, upload its checkpoint in the background.

        After the last epoch it returns once all checkpoints are stored. `data_pass` is the number of the pass over the
        data that the epoch was. StorageError where an upload failed.
        """
        self.history.append(metrics)
        self.data_pass = data_pass
        if metrics.is_finite:
            self._uploader.submit(metrics.epoch, metrics.validation_accuracy, self._snapshot(metrics))
        if self.is_finished:
            self.drain()

    def drain(self) -> None:
        """Wait until the checkpoints are stored; StorageError where they cannot be."""
        self._uploader.drain()

    def _check(self, checkpoint: Checkpoint) -> TrainerState:
        try:
            # a setting that a later version added takes its default in an older checkpoint
            is_of_trial = TrialConfig.from_dict(checkpoint.config) == self.trial.config
        except ConfigurationError:
            is_of_trial = False
        if not is_of_trial:
            raise CheckpointError(
                f"the checkpoint of {self.trial.trial_id} is of other settings than the trial",
                "resume with the seed, trials and epochs of the sweep's first run",
            )
        return unpack_trainer_state(checkpoint.trainer_state)

    def _load_parent(self, parent: CheckpointStore) -> Checkpoint:
        checkpoint = parent.load_newest(_warn_of_damage)
        if checkpoint is None:
            raise CheckpointError(
                f"{self.trial.trial_id} is to begin with the weights of {parent.trial_id}, which has left none",
                "it was lost or removed from the store: start the sweep again, under another --sweep-id",
            )
        return checkpoint

    def _as_heir(self, state: TrainerState) -> TrainerState:
        """The parent's state as this trial inherits it: the moments, without settings, schedule and history."""
        groups = self.optimizer.state_dict()["param_groups"]
        return replace(
            state,
            optimizer={**state.optimizer, "param_groups": groups},
            scheduler=None,
            history=[],
            num_before=state.num_before + len(state.history),
        )

    def _take_up(self, state: TrainerState) -> None:
        try:
            self.optimizer.load_state_dict(state.optimizer)
            if self.scheduler is not None and state.scheduler is not None:
                self.scheduler.load_state_dict(state.scheduler)
            self.history = [EpochMetrics(**values) for values in state.history]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the trainer state of {self.trial.trial_id} does not fit: {error}",
                "another version of cifar-ray has written it: take that one",
            ) from error
        self.data_pass = state.data_pass
        self._num_before = state.num_before
        if self.average is not None and state.live is not None:
            # the checkpoint's weights are the average
            self.average.load(state.live)
            self.average.swap()

    def _snapshot(self, metrics: EpochMetrics) -> Callable[[], Checkpoint]:
        """Copy the state, on the device, since the next epoch changes it; the result packs the copies when called."""
        live = dict(self.network.state_dict())
        average = {} if self.average is None else self.average.average
        config = self.trial.config.to_dict()
        weights = _clone({**live, **average})
        state = TrainerState(
            optimizer=_clone(self.optimizer.state_dict()),
            scheduler=None if self.scheduler is None else _clone(dict(self.scheduler.state_dict())),
            history=[asdict(each) for each in self.history],
            data_pass=self.data_pass,
            live=_clone({name: live[name] for name in average}) or None,
            num_before=self._num_before,
        )
        return lambda: Checkpoint(
            epoch=metrics.epoch,
            validation_accuracy=metrics.validation_accuracy,
            config=config,
            weights=pack_weights(weights),
            trainer_state=pack_trainer_state(state),
        )


def _clone(value: Any) -> Any:
    """A copy that shares no tensor with the original."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _clone(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_clone(item) for item in value)
    return value


def _warn_of_damage(reason: str) -> None:
    logger.warning("%s: passed over, the whole one before it is used", reason)
