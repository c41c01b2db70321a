"""Builds trials and trains them alone, for the tests of training."""

from contextlib import nullcontext

import pytest

from cifar_ray.data.split import TrainingData
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig
from cifar_ray.training.learner import Trial
from cifar_ray.training.trial import train_trial


class KilledError(Exception):
    pass


def make_trial(
    runs: RunStore, config: TrialConfig, trial_id: str = "t0000", sweep_id: str = "cnn-1", parent: str | None = None
) -> Trial:
    return Trial(
        trial_id=trial_id,
        config=config,
        checkpoints=CheckpointStore(runs.objects, sweep_id, trial_id),
        parent=None if parent is None else CheckpointStore(runs.objects, sweep_id, parent),
    )


def train(trial: Trial, data: TrainingData, until: int = 0, data_seed: int = 0) -> list[EpochMetrics]:
    """Its epochs. With `until`, the report of that epoch raises, as where Ray Tune ends a trial."""
    lines: list[EpochMetrics] = []

    def report(line: EpochMetrics) -> None:
        lines.append(line)
        if line.epoch == until:
            raise KilledError

    with pytest.raises(KilledError) if until else nullcontext():
        train_trial(trial, data, report, data_seed=data_seed)
    return lines
