"""The sweeps that compare searchers, on a few small images."""

from dataclasses import replace

import pytest

from benchmarks.searchers import sweep
from cifar_ray.data.split import TrainingData
from cifar_ray.records import SweepRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study
from cifar_ray.studies.study import Searcher

NUM_TRIALS = 12


@pytest.mark.parametrize("searcher", ["random", "bohb-style"])
def test_a_sweep_without_a_cluster(
    training_data: TrainingData, sweep_record: SweepRecord, runs: RunStore, searcher: Searcher
) -> None:
    study = get_study("cnn").with_budget(num_trials=NUM_TRIALS, max_epochs=2).with_searcher(searcher)
    sweep(study, replace(sweep_record, num_trials=NUM_TRIALS, max_epochs=2, searcher=searcher), training_data, runs, 1)
    lines = [(line.trial_id, line.epoch) for line in runs.metrics("cnn-1")]
    assert len(set(lines)) == len(lines)
    assert {name for name, _ in lines} == {f"t{index:04d}" for index in range(NUM_TRIALS)}
    # ASHA stopped some after the first epoch, and let some go on
    assert NUM_TRIALS < len(lines) < 2 * NUM_TRIALS
    assert len(runs.trials("cnn-1")) == (NUM_TRIALS if searcher == "bohb-style" else 0)
