"""The LightningModule: loss, metrics and optimiser of one trial."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional

from cifar_ray.models import build_model
from cifar_ray.records import EpochMetrics
from cifar_ray.studies import TrialConfig
from cifar_ray.training.optimization import build_optimizer, build_scheduler
from cifar_ray.training.state import TrainerState


class Tally:
    """Loss and hits summed on the device and read once an epoch, so that no step waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), device=device)
        self._num_correct = torch.zeros((), device=device, dtype=torch.int64)
        self._num_images = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: its mean loss, its (N, C) logits, its (N,) labels."""
        self._loss += loss.detach() * len(labels)
        self._num_correct += (logits.detach().argmax(dim=1) == labels).sum()
        self._num_images += len(labels)

    def means(self) -> tuple[float | None, float]:
        """Mean loss (None where not finite) and accuracy. Waits for the device."""
        loss = self._loss.item() / self._num_images
        return loss if math.isfinite(loss) else None, self._num_correct.item() / self._num_images


class TrialModule(pl.LightningModule):
    """One trial as Lightning trains it.

    `on_epoch` is called with each epoch's metrics after its validation. Lightning's own epoch counter starts
    at 0 in every process; `first_epoch` is the epoch, from 1, that this process starts with.
    """

    def __init__(
        self,
        config: TrialConfig,
        *,
        trial_id: str,
        first_epoch: int,
        steps_per_epoch: int,
        resume_from: TrainerState | None,
        on_epoch: Callable[[EpochMetrics], None],
    ) -> None:
        super().__init__()
        self._config = config
        self._trial_id = trial_id
        self._first_epoch = first_epoch
        self._steps_per_epoch = steps_per_epoch
        self._resume_from = resume_from
        self._on_epoch = on_epoch
        self.network = build_model(config)

    @property
    def epoch(self) -> int:
        """The current epoch, from 1, over all processes that the trial has had."""
        return self._first_epoch + self.current_epoch

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build both, and take up their state where the trial is resumed."""
        is_fused = self.device.type == "cuda"
        self._optimizer = build_optimizer(self._config, self.network.parameters(), is_fused=is_fused)
        self._scheduler = build_scheduler(self._config, self._optimizer, self._steps_per_epoch)
        if self._resume_from is not None:
            self._optimizer.load_state_dict(self._resume_from.optimizer)
            if self._scheduler is not None and self._resume_from.scheduler is not None:
                self._scheduler.load_state_dict(self._resume_from.scheduler)
        if self._scheduler is None:
            return self._optimizer
        return {
            "optimizer": self._optimizer,
            "lr_scheduler": {"scheduler": self._scheduler, "interval": "step"},
        }

    def trainer_state(self, history: list[dict[str, Any]]) -> TrainerState:
        """What a resumed trial goes on from, at the end of an epoch."""
        return TrainerState(
            optimizer=self._optimizer.state_dict(),
            scheduler=None if self._scheduler is None else dict(self._scheduler.state_dict()),
            history=history,
        )

    def on_train_epoch_start(self) -> None:
        """Seed the drop-out masks by trial seed and epoch alone, so that resuming repeats them."""
        torch.manual_seed(self._config.seed * 100_003 + self.epoch)
        self._started = time.perf_counter()
        self._train_tally = Tally(self.device)
        self._validation_tally = Tally(self.device)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Mean cross-entropy of a batch."""
        images, labels = batch
        logits = self.network(images)
        loss = functional.cross_entropy(logits, labels)
        self._train_tally.add(loss, logits, labels)
        self._learning_rate = self._optimizer.param_groups[0]["lr"]
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        """Count a batch of the validation set."""
        images, labels = batch
        logits = self.network(images)
        self._validation_tally.add(functional.cross_entropy(logits, labels), logits, labels)

    def on_train_epoch_end(self) -> None:
        """Hand the epoch's metrics on, once validation has run."""
        train_loss, train_accuracy = self._train_tally.means()
        validation_loss, validation_accuracy = self._validation_tally.means()
        self._on_epoch(
            EpochMetrics(
                trial_id=self._trial_id,
                epoch=self.epoch,
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
                learning_rate=float(self._learning_rate),
                seconds=time.perf_counter() - self._started,
            )
        )
