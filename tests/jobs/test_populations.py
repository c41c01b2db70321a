"""A population on a real cluster, broken off and gone on with."""

from itertools import pairwise

import pytest
from job_commands import check_books, num_epochs, run, submit, wait_for

from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster.local import LocalCluster
from cifar_ray.studies.study import ADJUSTABLE, GENERATIONS

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400)]

SIZE = 4


@pytest.mark.fault("a sweep is told to stop")
@pytest.mark.chaos
@pytest.mark.parametrize("way", [[], ["--no-cohort"]], ids=["in a cohort", "one by one"])
def test_a_population_that_was_stopped_goes_on_from_its_books(cluster: LocalCluster, way: list[str]) -> None:
    sweep_id = f"population-{len(way)}"
    options = ["cnn", "--searcher", "pbt", "--trials", str(SIZE * GENERATIONS), "--max-epochs", "10", *way]
    options += ["--data", "shapes:1000", "--sweep-id", sweep_id]
    runs = connect_runs(None)
    assert run("job", "submit", *options, "--no-wait").exit_code == 0
    wait_for(lambda: num_epochs(runs, sweep_id) > SIZE, job=sweep_id)
    assert run("job", "stop", sweep_id).exit_code == 0
    before, metrics = runs.trials(sweep_id), runs.metrics(sweep_id)
    assert runs.result(sweep_id) is None

    submit(*options, "--resume")
    check_books(runs, sweep_id, num_trials=SIZE * GENERATIONS)
    trials = runs.trials(sweep_id)
    assert runs.metrics(sweep_id)[: len(metrics)] == metrics
    assert {each.num_epochs for each in trials} == {2}, "none is cut"
    for earlier, later in zip(before, trials, strict=False):
        assert (earlier.config, earlier.parent) == (later.config, later.parent)
    generations = [trials[start : start + SIZE] for start in range(0, len(trials), SIZE)]
    assert {each.parent for each in generations[0]} == {None}
    for parents, heirs in pairwise(generations):
        by_id = {each.trial_id: each for each in parents}
        assert sum(heir.parent == parent.trial_id for parent, heir in zip(parents, heirs, strict=True)) == SIZE - 1
        for heir in heirs:
            assert heir.parent is not None
            different = {name for name in heir.config if heir.config[name] != by_id[heir.parent].config[name]}
            assert different <= ADJUSTABLE
    first, last = (
        max(line.validation_accuracy for line in runs.metrics(sweep_id) if line.trial_id in {t.trial_id for t in part})
        for part in (generations[0], generations[-1])
    )
    assert last > first, "weights are handed on"
