"""Whether memory that a step, or a trial, has freed is there for the next one."""

import gc
import os
import subprocess
import sys
import weakref

import pytest
from torch import nn

from cifar_ray.data.split import TrainingData
from cifar_ray.models import build_model
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig, get_study
from cifar_ray.training import learner
from cifar_ray.training.learner import Trial
from cifar_ray.training.trial import train_trial
from cifar_ray.tuning.command import MEMORY

# the first convolution of a wide speed net has activations of 90 MiB
IN_A_THREAD = """
import resource, statistics, threading, torch
from cifar_ray.training.device import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def train():
    keep_freed_memory()
    counts = []
    for _ in range(9):
        before = faults()
        torch.ones(90 * 2**20, dtype=torch.uint8)
        counts.append(faults() - before)
    # a single step may find its block a new place
    print(statistics.median(counts))

thread = threading.Thread(target=train)
thread.start()
thread.join()
"""


def test_large_blocks_stay_with_a_thread_that_trains() -> None:
    command = [sys.executable, "-W", "ignore", "-c", IN_A_THREAD]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, **MEMORY}
    )
    # 23,000 pages a block, where they are asked for anew
    assert int(done.stdout) < 1000


class StoppedError(Exception):
    pass


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*")
@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_trial_finds_nothing_of_the_one_before_it_in_its_process(
    runs: RunStore, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch, is_stopped: bool
) -> None:
    """Though Python's collector of cycles has not run by itself; on a GPU, what it holds is that of all trials."""
    built: list[weakref.ref[nn.Module]] = []
    num_alive: list[int] = []

    def build_watched(config: TrialConfig) -> nn.Module:
        num_alive.append(sum(each() is not None for each in built))
        network = build_model(config)
        built.append(weakref.ref(network))
        return network

    def report(_: EpochMetrics) -> None:
        if is_stopped:
            raise StoppedError

    monkeypatch.setattr(learner, "build_model", build_watched)
    gc.disable()
    try:
        for index, config in enumerate(get_study("cnn").with_budget(num_trials=2, max_epochs=1).sample(0)):
            checkpoints = CheckpointStore(runs.objects, "cnn-1", f"t{index:04d}")
            trial = Trial(trial_id=checkpoints.trial_id, config=config, checkpoints=checkpoints)
            try:
                train_trial(trial, training_data, report, data_seed=0)
            except StoppedError:
                assert is_stopped
    finally:
        gc.enable()
    assert num_alive == [0, 0]
