"""The sweeps that compare searchers, on a few small images."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.searchers import sweep
from cifar_ray.data.split import TrainingData
from cifar_ray.records import SweepRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study, get_study
from cifar_ray.studies.study import Searcher

NUM_TRIALS = 12
Run = Callable[[Study], list[tuple[str, int]]]


@pytest.fixture
def run(tmp_path: Path, training_data: TrainingData, sweep_record: SweepRecord, runs: RunStore) -> Run:
    def run(study: Study) -> list[tuple[str, int]]:
        """What it trained."""
        budget = study.trial_budget
        record = replace(
            sweep_record, num_trials=budget.num_trials, max_epochs=budget.max_epochs, searcher=study.searcher
        )
        sweep(study, record, training_data, runs, 1, tmp_path)
        return [(line.trial_id, line.epoch) for line in runs.metrics("cnn-1")]

    return run


@pytest.mark.parametrize("searcher", ["random", "bohb-style"])
def test_a_sweep_without_a_cluster(run: Run, runs: RunStore, searcher: Searcher) -> None:
    lines = run(get_study("cnn").with_budget(num_trials=NUM_TRIALS, max_epochs=2).with_searcher(searcher))
    assert len(set(lines)) == len(lines)
    assert {name for name, _ in lines} == {f"t{index:04d}" for index in range(NUM_TRIALS)}
    # ASHA stopped some after the first epoch, and let some go on
    assert NUM_TRIALS < len(lines) < 2 * NUM_TRIALS
    assert len(runs.trials("cnn-1")) == (NUM_TRIALS if searcher == "bohb-style" else 0)


def test_a_population_without_a_cluster(run: Run, runs: RunStore) -> None:
    lines = run(get_study("cnn").with_budget(num_trials=20, max_epochs=5).with_searcher("pbt"))
    assert sorted(lines) == [(f"t{index:04d}", 1) for index in range(20)]
    assert [each.parent is None for each in runs.trials("cnn-1")] == [True] * 4 + [False] * 16
