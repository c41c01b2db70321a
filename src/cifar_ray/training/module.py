"""The LightningModule: one trial trained by itself."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytorch_lightning as pl
import torch
from torch.nn import functional
from torch.optim import Optimizer

from cifar_ray.data.resident import Block
from cifar_ray.records import EpochMetrics
from cifar_ray.training.learner import Learner
from cifar_ray.training.objective import Objective
from cifar_ray.training.tally import Tally
from cifar_ray.training.trial_step import TrialStep


class TrialModule(pl.LightningModule):
    """Trains a learner in Lightning's loop.

    A training step is a block of batches, each with an optimiser step of its own (manual optimisation): an iteration of
    Lightning's loop costs as much as a small network's step, so a block shares one. `on_epoch` is called with each
    epoch's metrics after validation. Lightning does not see the network, which it would move to the CPU at the end.
    """

    def __init__(
        self,
        learner: Learner,
        *,
        step: TrialStep,
        device_name: str,
        on_epoch: Callable[[EpochMetrics], None],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self._learner = learner
        self._step = step
        self._device_name = device_name
        self._on_epoch = on_epoch

    def configure_optimizers(self) -> Optimizer:
        """The learner's own optimiser."""
        return self._learner.optimizer

    def on_train_epoch_start(self) -> None:
        """Seed the dropout masks and mixup, and reset the tallies."""
        self._learner.network.train()
        torch.manual_seed(self._learner.dropout_seed)
        self._objective = Objective(self._learner.trial.config, self._learner.dropout_seed)
        self._num_steps = self._learner.num_steps
        self._started = time.perf_counter()
        self._train_tally = Tally(1, self.device)
        self._validation_tally = Tally(1, self.device)

    def training_step(self, block: Block, block_index: int) -> None:
        """Make an optimiser step on each batch."""
        optimizer, scheduler, average = self._learner.optimizer, self._learner.scheduler, self._learner.average
        for images, labels in block:
            loss, logits = self._step(self._objective.prepare(images, labels))
            optimizer.step()
            # Lightning's autocast holds for the whole block: should it cache, it would keep the weights of before
            torch.clear_autocast_cache()
            self._num_steps += 1
            if average is not None:
                average.update(self._num_steps)
            self._train_tally.add(loss, logits, labels)
            self._learning_rate = optimizer.param_groups[0]["lr"]
            if scheduler is not None:
                scheduler.step()

    def on_validation_start(self) -> None:
        """Swap in the average, if there is one, to be validated."""
        self._learner.network.eval()
        if self._learner.average is not None:
            self._learner.average.swap()

    def on_validation_end(self) -> None:
        """Swap the trained weights back in."""
        self._learner.network.train()
        if self._learner.average is not None:
            self._learner.average.swap()

    def validation_step(self, block: Block, block_index: int) -> None:
        """Validate on a block of batches and add them to the tally."""
        for images, labels in block:
            logits = self._learner.network(images)
            self._validation_tally.add(functional.cross_entropy(logits, labels), logits, labels)

    def on_train_epoch_end(self) -> None:
        """Report the epoch's metrics, after validation."""
        ((train_loss, train_accuracy),) = self._train_tally.means()
        ((validation_loss, validation_accuracy),) = self._validation_tally.means()
        self._on_epoch(
            EpochMetrics(
                trial_id=self._learner.trial.trial_id,
                epoch=self._learner.epoch,
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
                learning_rate=float(self._learning_rate),
                seconds=time.perf_counter() - self._started,
                device=self._device_name,
            )
        )
