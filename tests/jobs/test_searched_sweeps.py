"""A sweep of a study of one's own, whose trials are chosen as it goes, broken off and gone on with."""

import shutil
from pathlib import Path

import pytest
from job_commands import ROOT, check_books, num_epochs, run, submit, wait_for

from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster.local import LocalCluster
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies.study_file import read_study
from cifar_ray.tuning.model_search import NUM_STARTUP

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400)]

NUM_TRIALS = NUM_STARTUP + 4
OWN = f"""\
title = "Rates of the classic CNN"
searcher = "tpe"
is_cohort = true
budget = {{ num_trials = {NUM_TRIALS}, max_epochs = 3 }}

[space]
learning_rate = {{ log_uniform = [1e-4, 1e-1] }}
dropout = [0.1, 0.3]

[fixed]
model = "classic_cnn"
optimizer = "sgd"
weight_decay = 1e-4
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """A copy of the jobs, with that study among them."""
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    (tmp_path / "jobs" / "rates.toml").write_text(OWN)
    return tmp_path / "jobs"


def check_chosen(runs: RunStore, sweep_id: str, jobs: Path) -> None:
    """The first trials are drawn, the last are the model's choice, none is another's twin."""
    trials = runs.trials(sweep_id)
    sample = read_study(jobs / "rates.toml").sample(0)
    is_drawn = [trial.config == config.to_dict() for trial, config in zip(trials, sample, strict=True)]
    assert all(is_drawn[:NUM_STARTUP])
    assert not any(is_drawn[-2:]), "the model chose none"
    assert len({trial.config["learning_rate"] for trial in trials}) == NUM_TRIALS


def test_a_model_chooses_trials(cluster: LocalCluster, jobs: Path) -> None:
    runs = connect_runs(None)
    submit("rates", "--jobs", str(jobs), "--data", "shapes:500", "--sweep-id", "search-0")
    check_books(runs, "search-0", num_trials=NUM_TRIALS)
    assert (runs.sweep("search-0").searcher, runs.sweep("search-0").definition) == ("tpe", OWN)
    check_chosen(runs, "search-0", jobs)


@pytest.mark.fault("a sweep is told to stop")
@pytest.mark.chaos
def test_a_search_that_was_stopped_goes_on_from_its_books(cluster: LocalCluster, jobs: Path) -> None:
    options = ["rates", "--jobs", str(jobs), "--data", "shapes:2000", "--sweep-id", "search-1"]
    runs = connect_runs(None)
    assert run("job", "submit", *options, "--no-wait").exit_code == 0
    wait_for(lambda: num_epochs(runs, "search-1") >= 4, job="search-1")
    assert run("job", "stop", "search-1").exit_code == 0
    before, metrics = {each.trial_id: each for each in runs.trials("search-1")}, runs.metrics("search-1")
    assert runs.result("search-1") is None

    submit(*options, "--resume")
    check_books(runs, "search-1", num_trials=NUM_TRIALS)
    trials = runs.trials("search-1")
    assert runs.metrics("search-1")[: len(metrics)] == metrics
    for trial in trials:
        known = before.get(trial.trial_id)
        assert known is None or trial.config == known.config
        # one that had ended stays as it was
        assert known is None or known.outcome == "running" or trial == known
    check_chosen(runs, "search-1", jobs)
