"""What is measured on one GPU; every part runs on any device, so that it can be tried without one.

Trials run compiled and cohorts as recorded CUDA graphs where the device is a GPU, unless CIFAR_RAY_COMPILE is off.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import accumulate

import numpy as np
import torch

from benchmarks import ours
from benchmarks.gpu_figures import (
    ACCURACIES,
    BATCH_SIZES,
    CONVOLUTION_PEAK,
    DEPTHS,
    PRODUCT_PEAK,
    STUDY,
    STUDY_EPOCHS,
    name_accuracy_series,
    name_series,
)
from benchmarks.halving import run_halving
from benchmarks.measuring import Readings
from benchmarks.peaks import Convolution, convolution_rate, product_rate, training_flops
from benchmarks.setting import cut
from cifar_ray.data.packing import PackedImages, pack
from cifar_ray.data.sources import load_images
from cifar_ray.data.split import TrainingData
from cifar_ray.settings import read_settings
from cifar_ray.studies import TrialConfig, get_study
from cifar_ray.training.cohort import Cohort

RECIPE = TrialConfig(
    model="resnet",
    depth=18,
    max_epochs=40,
    learning_rate=0.2,
    optimizer="sgd",
    momentum=0.9,
    weight_decay=5e-4,
    dropout=0.0,
    batch_size=512,
    augmentation=True,
    schedule="one_cycle",
)
"""Fixed beforehand, not selected by test accuracy."""
PRODUCT_SIZE = 8192
SHAPES = tuple(
    Convolution(num_channels=channels, size=size, batch_size=batch_size)
    for channels, size in ((64, 32), (128, 16), (256, 8))
    for batch_size in BATCH_SIZES
)
BUDGET_S = 0.5
NUM_WARM_UP_EPOCHS = 1
FEW = 10
"""Validation images where training alone is timed."""
TERA = 1e12


def measure_peaks(device: torch.device, num_readings: int, readings: Readings) -> None:
    """The product of large matrices, and the fastest of the networks' own convolutions."""
    for _ in range(num_readings):
        readings.note(PRODUCT_PEAK, product_rate(device, torch.bfloat16, PRODUCT_SIZE, BUDGET_S) / TERA)
        rates = [convolution_rate(device, torch.bfloat16, shape, BUDGET_S) for shape in SHAPES]
        readings.note(CONVOLUTION_PEAK, max(rates) / TERA)


def measure_resnet(data: TrainingData, num_readings: int, seed: int, readings: Readings) -> None:
    """Epochs of each depth and batch size, first whole, then without validation.

    The first epoch includes compilation, or loading what an earlier process compiled.
    """
    for depth in DEPTHS:
        for batch_size in BATCH_SIZES:
            config = replace(
                RECIPE,
                depth=depth,
                batch_size=batch_size,
                max_epochs=NUM_WARM_UP_EPOCHS + num_readings,
                schedule="none",
                learning_rate=0.01,
            )
            first, *others = ours.time_epochs(data, config, seed, num_threads=1)
            readings.note(name_series("first epoch", depth, batch_size), first)
            for seconds in others:
                readings.note(name_series("epoch", depth, batch_size), seconds)
            _measure_steps(data, config, seed, readings)


def _measure_steps(data: TrainingData, config: TrialConfig, seed: int, readings: Readings) -> None:
    """Milliseconds a step, images and floating-point operations a second."""
    num_images = len(data.train)
    flops_an_epoch = training_flops(config) / config.batch_size * num_images
    num_steps = -(-num_images // config.batch_size)
    training_alone = cut(data, num_images, FEW)
    for seconds in ours.time_epochs(training_alone, config, seed, num_threads=1)[NUM_WARM_UP_EPOCHS:]:
        for what, value in (
            ("step", 1000 * seconds / num_steps),
            ("images", num_images / seconds),
            ("arithmetic", flops_an_epoch / seconds / TERA),
        ):
            readings.note(name_series(what, config.depth, config.batch_size), value)


def measure_study(data: TrainingData, num_readings: int, seed: int, readings: Readings) -> None:
    """All configurations of the study `cnn` in one cohort, set-up included, without checkpoints."""
    study = get_study("cnn")
    for _ in range(num_readings):
        started = time.perf_counter()
        num_epochs = run_halving(Cohort(data, data_seed=seed), study.sample(seed), study.budget)
        readings.note(STUDY, time.perf_counter() - started)
        readings.note(STUDY_EPOCHS, num_epochs)


def measure_accuracy(data: TrainingData, num_readings: int, seed: int, readings: Readings) -> None:
    """Seconds of training and evaluation until the test accuracies are first reached, if they are.

    Trains on all training images and validates on the test set, by which nothing is selected.
    """
    whole = _with_test_set(data)
    # compilation happens once for all trials and is not timed
    ours.train(cut(whole, RECIPE.batch_size, FEW), replace(RECIPE, max_epochs=1, schedule="none"), seed, num_threads=1)
    for index in range(num_readings):
        config = replace(RECIPE, seed=RECIPE.seed + index)
        metrics = ours.train(whole, config, seed, num_threads=1)
        elapsed = accumulate(line.seconds for line in metrics)
        curve = list(zip(elapsed, (line.validation_accuracy for line in metrics), strict=True))
        for accuracy in ACCURACIES:
            reached = [seconds for seconds, value in curve if value >= accuracy]
            if reached:
                readings.note(name_accuracy_series(accuracy), reached[0])


def _with_test_set(data: TrainingData) -> TrainingData:
    test = load_images(data.record.source, "test", read_settings())
    parts = (data.train, data.validation)
    return TrainingData(
        train=PackedImages(
            pixels=np.concatenate([part.pixels for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
        ),
        validation=PackedImages(pixels=pack(test.images), labels=test.labels),
        record=data.record,
    )
