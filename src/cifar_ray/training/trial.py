"""Trains one trial by itself, from its configuration to a stream of epoch metrics, resumable after every epoch."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytorch_lightning as pl
import torch

from cifar_ray.data.resident import ResidentBatches
from cifar_ray.data.split import TrainingData
from cifar_ray.records import EpochMetrics
from cifar_ray.settings import read_settings
from cifar_ray.training.device import Precision, choose_device, choose_precision, keep_freed_memory, name_device
from cifar_ray.training.feeds import image_size, sample_images, training_feed, validation_feed
from cifar_ray.training.learner import Learner, Trial
from cifar_ray.training.module import TrialModule
from cifar_ray.training.trial_step import TrialStep


def train_trial(
    trial: Trial,
    data: TrainingData,
    on_epoch: Callable[[EpochMetrics], None],
    *,
    data_seed: int,
    num_threads: int = 1,
    on_history: Callable[[EpochMetrics], None] | None = None,
) -> None:
    """Train to the last epoch, or until the loss is not finite.

    `on_epoch` is called after each epoch, while its checkpoint is uploaded in the background. A resumed trial first
    repeats the metrics of the epochs up to its checkpoint, in case the caller has missed them, to `on_history` if that
    is given. Whatever either raises ends the training, once the checkpoints are stored. `data_seed` determines the
    order of the batches and the augmentation; `num_threads` is torch's, on the CPU.
    """
    torch.set_num_threads(num_threads)
    keep_freed_memory()
    device = choose_device()
    if device.type != "cpu":
        # Lightning's objects and ours form reference cycles, which would keep an earlier trial's weights and images.
        # Not worth its quarter of a second on a CPU, whose memory Python's own collections keep within bounds
        gc.collect()
    precision = choose_precision(device)
    train = training_feed(data, trial.config, device, data_seed)
    with ThreadPoolExecutor(1) as executor:
        learner = Learner(
            trial,
            device=device,
            steps_per_epoch=train.num_batches,
            executor=executor,
            sample=partial(sample_images, data),
        )
        try:
            for metrics in learner.history:
                (on_history or on_epoch)(metrics)
            if not learner.is_finished:
                _fit(learner, train, validation_feed(data, device), on_epoch, device, precision)
        finally:
            learner.drain()


def _fit(
    learner: Learner,
    train: ResidentBatches,
    validation: ResidentBatches,
    on_epoch: Callable[[EpochMetrics], None],
    device: torch.device,
    precision: Precision,
) -> None:
    """Train the remaining epochs."""
    step = TrialStep(learner.network, learner.trial.config, device, read_settings())

    def begin_epoch() -> None:
        train.set_epoch(learner.age, image_size(learner.trial.config, learner.epoch))

    def end_epoch(metrics: EpochMetrics) -> None:
        learner.end_epoch(metrics, data_pass=learner.age)
        trainer.should_stop = learner.is_finished
        begin_epoch()
        on_epoch(metrics)

    module = TrialModule(learner, step=step, device_name=name_device(device, precision), on_epoch=end_epoch)
    begin_epoch()
    trainer = _build_trainer(device, precision, learner.trial.config.max_epochs - len(learner.history))
    try:
        trainer.fit(module, train_dataloaders=train, val_dataloaders=validation)
    finally:
        step.release()


def _build_trainer(device: torch.device, precision: Precision, num_epochs: int) -> pl.Trainer:
    """Lightning's Trainer without its logging, checkpoints and progress bar, which cost more than a small step."""
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision=precision,
        max_epochs=num_epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
