"""Runs our sweep on a local Ray, without a job's preflight checks."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

from cifar_ray.capacity import place_cohorts, place_trials
from cifar_ray.data.split import TrainingData
from cifar_ray.provenance import now
from cifar_ray.records import SweepRecord
from cifar_ray.settings import read_settings
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig
from cifar_ray.tuning.finals import run_with_finals
from cifar_ray.tuning.nodes import read_node_kinds
from cifar_ray.tuning.sweep import SweepPlan

SWEEP_ID = "bench-sweep"
ENVIRON = {
    # Ray's own switch for keeping to 127.0.0.1
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """The duration of a sweep."""

    seconds: float
    """From building the tuner to the end of the last trial, without starting Ray."""
    num_epochs: int
    """Over all trials."""


@contextmanager
def local_ray(num_cpus: int) -> Iterator[None]:
    """Start Ray for this process alone."""
    ray.init(
        address="local",
        num_cpus=num_cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        # in the contender's own folder, which is removed with it
        _temp_dir=f"{tempfile.gettempdir()}/ray",
    )
    try:
        yield
    finally:
        ray.shutdown()


def run_ours(data: TrainingData, configs: list[TrialConfig], seed: int, num_cpus: int) -> SweepRun:
    """Sweep these configurations in cohorts, each for all of its epochs."""
    with tempfile.TemporaryDirectory() as folder, local_ray(num_cpus):
        return run_plan(make_plan(data, configs, seed, folder, is_cohort=True))


def make_plan(data: TrainingData, configs: list[TrialConfig], seed: int, folder: str, *, is_cohort: bool) -> SweepPlan:
    """As a job plans it, but with a grace period of all epochs, so that ASHA stops no trial."""
    max_epochs = configs[0].max_epochs
    kinds = read_node_kinds([])
    placement = place_cohorts(kinds, len(configs)) if is_cohort else place_trials(kinds, 1.0, 0.0)
    sweep = SweepRecord(
        sweep_id=SWEEP_ID,
        study="cnn",
        seed=seed,
        num_trials=len(configs),
        max_epochs=max_epochs,
        grace_period=max_epochs,
        reduction_factor=4,
        accelerators_per_trial=placement.accelerators,
        cpus_per_trial=placement.cpus,
        dataset=data.record,
        versions={},
        commit=None,
        hardware={},
        started_at=now(),
        is_cohort=is_cohort,
    )
    return SweepPlan(
        sweep=sweep,
        configs=configs,
        data=data,
        storage=folder,
        max_concurrent_trials=min(placement.num_slots, len(configs)),
        num_cohorts=placement.num_cohorts,
    )


def run_plan(plan: SweepPlan) -> SweepRun:
    """Run it on the Ray to which this process is connected."""
    settings = read_settings()
    runs = RunStore(open_store(plan.storage, settings.s3))
    runs.create_sweep(plan.sweep)
    started = time.perf_counter()
    result = run_with_finals(plan, runs, logging.getLogger(__name__).info)
    return SweepRun(seconds=time.perf_counter() - started, num_epochs=result.num_epochs)
