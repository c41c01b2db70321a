"""The data path: all training images, augmented and normalised, in batches of 64."""

from __future__ import annotations

import time
from functools import partial

import torch

from benchmarks.contender import Contender
from benchmarks.measuring import Figure, Readings, Target, interleave
from benchmarks.setting import Section, Setting
from benchmarks.tutorial_data import WORKER_CHOICES, training_loader
from cifar_ray.data.resident import ResidentBatches
from cifar_ray.data.split import TrainingData
from cifar_ray.studies import TrialConfig
from cifar_ray.training.feeds import training_feed

CONFIG = TrialConfig(
    model="classic_cnn",
    max_epochs=1,
    learning_rate=0.01,
    optimizer="sgd",
    weight_decay=0.0,
    dropout=0.0,
    augmentation=True,
)
ONE_THREAD = "data/ours, 1 thread"
ALL_THREADS = "data/ours, all threads"
LOADERS = {num_workers: f"data/tutorial, {num_workers} workers" for num_workers in WORKER_CHOICES}

FIGURES = (
    Figure(
        name="data path, all threads",
        unit="s",
        ours=ALL_THREADS,
        opponents=tuple(LOADERS.values()),
        target=Target(kind="at least", value=15),
    ),
    Figure(name="data path, 1 thread", unit="s", ours=ONE_THREAD, opponents=tuple(LOADERS.values())),
)


def measure(setting: Setting, readings: Readings) -> None:
    """Ours with one thread and with all, the tutorial's loader without and with workers."""
    with Contender(setting) as ours, Contender(setting) as tutorial:
        sides = {
            ONE_THREAD: partial(ours.run, pass_over_resident, setting.seed, 1),
            ALL_THREADS: partial(ours.run, pass_over_resident, setting.seed, setting.num_threads),
        } | {series: partial(tutorial.run, pass_over_loader, num_workers) for num_workers, series in LOADERS.items()}
        interleave(readings, sides, DATA.rounds_of(setting))


def pass_over_resident(data: TrainingData, seed: int, num_threads: int) -> float:
    """Seconds of a pass, after one that warms caches and threads."""
    torch.set_num_threads(num_threads)
    feed = training_feed(data, CONFIG, torch.device("cpu"), seed)
    _exhaust(feed)
    started = time.perf_counter()
    _exhaust(feed)
    return time.perf_counter() - started


def pass_over_loader(data: TrainingData, num_workers: int) -> float:
    """Seconds of a pass, once the workers are up and a first batch has come."""
    loader = training_loader(data, CONFIG, num_workers)
    next(iter(loader))
    started = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - started


def _exhaust(feed: ResidentBatches) -> None:
    for block in feed:
        for _ in block:
            pass


DATA = Section(
    name="data",
    what="crop, flip, rotation and normalisation of all training images, in batches of 64",
    round_s=22,
    quick_round_s=8,
    figures=FIGURES,
    measure=measure,
)
