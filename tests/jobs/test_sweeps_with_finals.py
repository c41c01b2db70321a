"""A sweep with finals, broken off in the midst of them, gone on with, and scored: a real cluster, real training."""

import pytest
from job_commands import Result, check_books, run, submit, wait_for
from node_processes import held

from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster.local import LocalCluster
from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.runs import RunStore

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1200)]

EPOCHS = 4
DATA = "shapes:200"


def has_ended_trials(runs: RunStore, sweep_id: str) -> bool:
    return any(trial.has_ended for trial in runs.trials(sweep_id))


def test_finals_are_resumed_and_their_winner_is_scored(cluster: LocalCluster) -> None:
    options = ["fast", "--trials", "3", "--max-epochs", str(EPOCHS), "--grace-period", "1", "--data", DATA]
    options += ["--sweep-id", "finals-1"]
    runs = connect_runs(None)
    nested, finals_id = runs.finals("finals-1"), layout.finals("finals-1")
    assert run("job", "submit", *options, "--no-wait").exit_code == 0
    (job, *_) = run("job", "list").output.split()
    wait_for(lambda: has_ended_trials(nested, finals_id), deadline_s=600, job=job)
    # two of four train at once, and the next two could end before the command has started
    with held(cluster, "ray::ImplicitFunc"):
        assert run("job", "stop", job) == Result(0, f"{job} STOPPED\n")
    assert len(runs.sweep("finals-1").interruptions) == 1
    assert layout.lease("finals-1") not in runs.objects.keys("finals-1")
    assert f"finals trainings=4 epochs={EPOCHS}" in run("job", "logs", job).output
    assert (runs.result("finals-1"), nested.result(finals_id)) == (None, None)
    before, searched = nested.metrics(finals_id), runs.metrics("finals-1")
    ended = [trial for trial in nested.trials(finals_id) if trial.outcome == "completed"]
    assert ended
    finalists = nested.sweep(finals_id).finalists

    output = submit(*options, "--resume")
    assert f"finals of finals-1: {', '.join(finalists)}, each retrained on 2 seeds" in output
    check_books(nested, finals_id, num_trials=4)
    assert {trial.num_epochs for trial in nested.trials(finals_id)} == {EPOCHS}, "nothing is cut"
    assert nested.metrics(finals_id)[: len(before)] == before, "nothing is trained twice"
    assert all(trial in nested.trials(finals_id) for trial in ended), "nothing that had ended was started again"
    check_books(runs, "finals-1", num_trials=3)
    assert runs.metrics("finals-1") == searched, "the sweep itself is over"
    result = runs.result("finals-1")
    assert result is not None
    assert result.finals is not None
    assert finalists == result.ranking[:2]
    chosen = result.finals.winner
    assert chosen is not None
    assert [each.mean for each in result.finals.finalists] == sorted(
        (each.mean for each in result.finals.finalists), key=lambda mean: -(mean or 0)
    )
    assert "finals: " in run("results", "show", "finals-1").output

    assert run("results", "gc", "finals-1", "--remove").exit_code == 0
    kept = {key.rpartition("/")[0] for key in nested.objects.keys(finals_id) if "/checkpoints/" in key}
    assert len(kept) == 2, "the best epoch of each training of the winner"
    submit("evaluate", "finals-1")
    scores = runs.test_scores("finals-1")
    assert scores is not None
    assert scores.trial_id == chosen.trial_id
    assert chosen.best is not None
    assert scores.seeds[0].trial_id == chosen.best.trial_id
    assert {each.seed for each in scores.seeds} == {each.seed for each in chosen.retrainings}
    assert scores.accuracy == scores.seeds[0].accuracy
    assert scores.config["seed"] == scores.seeds[0].seed
    answers = runs.answers(scores)
    assert answers is not None
    assert sum(answers.is_right()) == round(scores.accuracy * scores.num_images)
    assert scores.calibration is not None
    assert scores.calibration.loss == pytest.approx(scores.loss, abs=1e-5)
    assert scores.robustness is not None
    assert (scores.robustness.num_images, scores.robustness.clean) == (40, scores.accuracy)
    assert {len(each) for each in scores.robustness.corrupted.values()} == {3}
    assert CheckpointStore(nested.objects, finals_id, chosen.best.trial_id).epochs() == [chosen.best.best_epoch]
