"""Our side: the package's own training, called as a job calls it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.setting import cut
from cifar_ray.data.split import TrainingData
from cifar_ray.errors import ObjectNotFoundError
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.layout import trial_id
from cifar_ray.storage.object_store import ObjectStore
from cifar_ray.studies import TrialConfig
from cifar_ray.training.cohort import Cohort
from cifar_ray.training.learner import Trial
from cifar_ray.training.trial import train_trial

SWEEP_ID = "bench"
NUM_WARM_UP_IMAGES = 1024


class NullStore(ObjectStore):
    """Keeps nothing, for training without checkpoints: what it inherits from the protocol does nothing."""

    uri = "null"

    def read(self, key: str) -> bytes:
        """Raises ObjectNotFoundError."""
        raise ObjectNotFoundError(f"no object {key!r}: this store keeps none")

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Empty."""
        return {}


def time_epoch(data: TrainingData, config: TrialConfig, seed: int, num_threads: int) -> float:
    """Train one trial without a store; the seconds of its last epoch, validation included."""
    return time_epochs(data, config, seed, num_threads)[-1]


def time_epochs(data: TrainingData, config: TrialConfig, seed: int, num_threads: int) -> list[float]:
    """Train one trial without a store; the seconds of every epoch."""
    return [line.seconds for line in train(data, config, seed, num_threads)]


def train(data: TrainingData, config: TrialConfig, seed: int, num_threads: int) -> list[EpochMetrics]:
    """Train one trial without a store; the metrics of its epochs."""
    metrics: list[EpochMetrics] = []
    train_trial(make_trial(config), data, metrics.append, data_seed=seed, num_threads=num_threads)
    return metrics


def time_cohort_epoch(data: TrainingData, configs: Sequence[TrialConfig], seed: int, num_threads: int) -> float:
    """Seconds of an epoch of a cohort of these configurations, after a small one that warms up."""
    _train_cohort(cut(data, NUM_WARM_UP_IMAGES, NUM_WARM_UP_IMAGES), configs, seed, num_threads)
    return _train_cohort(data, configs, seed, num_threads)


def make_trial(
    config: TrialConfig, *, index: int = 0, store: ObjectStore | None = None, sweep_id: str = SWEEP_ID
) -> Trial:
    """A trial whose checkpoints go to `store`, by default nowhere."""
    name = trial_id(index)
    return Trial(trial_id=name, config=config, checkpoints=CheckpointStore(store or NullStore(), sweep_id, name))


def _train_cohort(data: TrainingData, configs: Sequence[TrialConfig], seed: int, num_threads: int) -> float:
    cohort = Cohort(data, data_seed=seed, num_threads=num_threads)
    trials = [make_trial(config, index=index) for index, config in enumerate(configs)]
    for trial in trials:
        cohort.add(trial)
    started = time.perf_counter()
    cohort.train_epoch([trial.trial_id for trial in trials])
    seconds = time.perf_counter() - started
    for trial in trials:
        cohort.remove(trial.trial_id)
    return seconds
