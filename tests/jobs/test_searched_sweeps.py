"""A sweep whose trials are chosen as it goes, broken off and gone on with."""

import pytest
from job_commands import check_books, num_epochs, run, submit, wait_for

from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster.local import LocalCluster
from cifar_ray.studies import get_study
from cifar_ray.tuning.model_search import NUM_STARTUP

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400)]

NUM_TRIALS = NUM_STARTUP + 4


def test_a_search_that_was_stopped_goes_on_from_its_books(cluster: LocalCluster) -> None:
    options = ["cnn", "--trials", str(NUM_TRIALS), "--max-epochs", "3", "--searcher", "tpe", "--data", "shapes:2000"]
    options += ["--sweep-id", "search-1"]
    runs = connect_runs(None)
    assert run("job", "submit", *options, "--no-wait").exit_code == 0
    wait_for(lambda: num_epochs(runs, "search-1") >= 4, job="search-1")
    assert run("job", "stop", "search-1").exit_code == 0
    before, metrics = {each.trial_id: each for each in runs.trials("search-1")}, runs.metrics("search-1")
    assert runs.result("search-1") is None
    assert runs.sweep("search-1").searcher == "tpe"

    submit(*options, "--resume")
    check_books(runs, "search-1", num_trials=NUM_TRIALS)
    trials = runs.trials("search-1")
    assert runs.metrics("search-1")[: len(metrics)] == metrics
    for trial in trials:
        known = before.get(trial.trial_id)
        assert known is None or trial.config == known.config
        # one that had ended stays as it was
        assert known is None or known.outcome == "running" or trial == known
    sample = get_study("cnn").with_budget(num_trials=NUM_TRIALS, max_epochs=3).sample(0)
    is_drawn = [trial.config == config.to_dict() for trial, config in zip(trials, sample, strict=True)]
    assert all(is_drawn[:NUM_STARTUP])
    assert not any(is_drawn[-2:]), "the model chose none"
    assert len({trial.config["learning_rate"] for trial in trials}) == NUM_TRIALS
