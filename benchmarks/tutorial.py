"""The opponent: a trial as the public tutorials of PyTorch, torchvision and Lightning write it.

A LightningModule with automatic optimisation, fed by a shuffling DataLoader. The networks are ours, in the memory
format that a tutorial leaves them in.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import SGD, Adam, Optimizer

from benchmarks.tutorial_data import WORKER_CHOICES, training_loader, validation_loader
from cifar_ray.data.split import TrainingData
from cifar_ray.models import build_model
from cifar_ray.studies import TrialConfig


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How the Trainer and the DataLoader are set up."""

    num_workers: int
    has_defaults: bool = False
    """Whether the Trainer has its logger, progress bar and checkpoints, and the module logs each step's loss."""

    def __str__(self) -> str:
        kind = "default" if self.has_defaults else "lean"
        return f"tutorial, {kind} Trainer, {self.num_workers} workers"


LEAN = tuple(Variant(num_workers=number) for number in WORKER_CHOICES)
"""Without logging, with each of `WORKER_CHOICES`."""


class TutorialModule(pl.LightningModule):
    """The network with its loss and optimiser."""

    def __init__(self, config: TrialConfig, *, logs_steps: bool) -> None:
        super().__init__()
        self.config = config
        self.network = build_model(config)
        self.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's stub lacks it
        self._logs_steps = logs_steps

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.network(images)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """The loss of a batch."""
        images, labels = batch
        loss = functional.cross_entropy(self(images), labels)
        if self._logs_steps:
            self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        """Loss and accuracy of a batch."""
        images, labels = batch
        logits = self(images)
        self.log("val_loss", functional.cross_entropy(logits, labels), prog_bar=True)
        self.log("val_acc", (logits.argmax(dim=1) == labels).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> Optimizer:
        """Adam or SGD with torch's defaults for the rest."""
        config = self.config
        if config.optimizer == "adam":
            return Adam(self.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        return SGD(
            self.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )


class EpochClock(pl.Callback):
    """Times each epoch, validation included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop: Lightning has validated by now."""
        self.seconds.append(time.perf_counter() - self._started)


def time_epoch(data: TrainingData, config: TrialConfig, seed: int, variant: Variant) -> float:
    """Train one trial; the seconds of its last epoch, validation included."""
    clock = EpochClock()
    with tempfile.TemporaryDirectory() as folder:
        fit(data, config, seed, variant, clock, folder)
    return clock.seconds[-1]


def fit(
    data: TrainingData, config: TrialConfig, seed: int, variant: Variant, callback: pl.Callback, folder: str
) -> None:
    """Train one trial with a callback; what Lightning writes goes to `folder`."""
    pl.seed_everything(seed)
    module = TutorialModule(config, logs_steps=variant.has_defaults)
    lean: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=config.max_epochs,
        default_root_dir=folder,
        callbacks=[callback],
        **({} if variant.has_defaults else lean),
    )
    trainer.fit(
        module, training_loader(data, config, variant.num_workers), validation_loader(data, variant.num_workers)
    )
