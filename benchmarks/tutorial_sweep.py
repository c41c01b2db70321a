"""The opponent's sweep: Ray Tune with Lightning, as Ray's own CIFAR and Lightning examples write it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from typing import Any

from ray import tune
from ray.tune.integration.pytorch_lightning import TuneReportCheckpointCallback
from ray.tune.schedulers import ASHAScheduler

from benchmarks import tutorial
from benchmarks.sweeps import SweepRun, local_ray
from benchmarks.tutorial import Variant
from cifar_ray.data.split import TrainingData
from cifar_ray.studies import TrialConfig


def run_tutorial(
    data: TrainingData, configs: Sequence[TrialConfig], seed: int, num_cpus: int, variant: Variant
) -> SweepRun:
    """Sweep these configurations, one core a trial; as many epochs as ours, so ASHA stops no trial."""
    max_epochs = configs[0].max_epochs
    with tempfile.TemporaryDirectory() as folder, local_ray(num_cpus):
        started = time.perf_counter()
        trainable = tune.with_parameters(train, data=data, seed=seed, variant=variant)
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={"settings": tune.grid_search([config.to_dict() for config in configs])},
            tune_config=tune.TuneConfig(
                metric="val_acc",
                mode="max",
                num_samples=1,
                scheduler=ASHAScheduler(max_t=max_epochs, grace_period=max_epochs, reduction_factor=4),
            ),
            run_config=tune.RunConfig(name="tutorial", storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        seconds = time.perf_counter() - started
    if results.errors:
        raise results.errors[0]
    num_epochs = sum(int(result.metrics["training_iteration"]) for result in results)
    return SweepRun(seconds=seconds, num_epochs=num_epochs)


def train(parameters: dict[str, Any], *, data: TrainingData, seed: int, variant: Variant) -> None:
    """One trial: a checkpoint and the metrics reported after each epoch."""
    callback = TuneReportCheckpointCallback({"val_loss": "val_loss", "val_acc": "val_acc"}, on="validation_end")
    with tempfile.TemporaryDirectory() as folder:
        tutorial.fit(data, TrialConfig.from_dict(parameters["settings"]), seed, variant, callback, folder)
