"""The list of a sweep's trials, as Ray Tune takes them from it."""

import pickle
import time
from pathlib import Path

from ray import tune
from ray.tune.experiment import Experiment
from ray.tune.search import ConcurrencyLimiter, SearchGenerator

from cifar_ray.storage import layout
from cifar_ray.studies import get_study
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.listed_search import ListedSearch

NUM_TRIALS = 3000
DEADLINE_S = 60.0
"""As a grid they took longer."""


def test_thousands_of_trials_are_given_in_order_within_a_minute(tmp_path: Path) -> None:
    configs = get_study("cnn").with_budget(num_trials=NUM_TRIALS, max_epochs=3).sample(0)
    listed = [assign(layout.trial_id(index), config.to_dict()) for index, config in enumerate(configs)]
    search = SearchGenerator(ConcurrencyLimiter(ListedSearch(configs), max_concurrent=NUM_TRIALS))
    search.add_configurations([Experiment("cnn-1", tune.Trainable, num_samples=NUM_TRIALS, storage_path=str(tmp_path))])
    started = time.monotonic()
    given = []
    while trial := search.next_trial():
        given.append(trial.config)
    assert given == listed
    assert search.is_finished()
    assert time.monotonic() - started < DEADLINE_S


def test_ray_tune_pickles_it() -> None:
    (config,) = get_study("cnn").with_budget(num_trials=1, max_epochs=3).sample(0)
    search = ListedSearch([config])
    again = pickle.loads(pickle.dumps(search))  # noqa: S301  # what it has just written
    assert again.suggest("of Ray Tune") == assign("t0000", config.to_dict())
    assert again.suggest("of Ray Tune") == "FINISHED"
