"""Sweeps of small networks, end to end: a real Ray cluster, its Jobs API, a real S3 server, real training."""

from pathlib import Path

import pytest
from job_commands import ROOT, check_books, run, submit

from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster.local import LocalCluster
from cifar_ray.planning.finished_sweep import read_finished
from cifar_ray.planning.replay import replay
from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.studies import get_study

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400)]


def test_cnn_sweep_and_evaluation(cluster: LocalCluster, tmp_path: Path) -> None:
    output = submit("cnn", "--trials", "5", "--max-epochs", "4", "--data", "shapes:1000", "--sweep-id", "books-1")
    assert "progress elapsed_s=" in output
    assert "data shapes" in output
    runs = connect_runs(None)
    check_books(runs, "books-1", num_trials=5)
    assert max(trial.num_epochs for trial in runs.trials("books-1")) == 4
    # each trial was judged against all others of its pass, in whatever order Ray Tune heard of them
    again = replay(read_finished(runs, "books-1", get_study("cnn")))
    assert again.reached == {
        epoch: sum(each.num_epochs >= epoch for each in runs.trials("books-1")) for epoch in (1, 4)
    }

    table = submit("evaluate", "books-1")
    assert "not CIFAR-10" in " ".join(table.split())
    scores = runs.test_scores("books-1")
    assert scores is not None
    assert scores.num_images == 200
    assert sum(map(sum, scores.confusion_matrix)) == 200
    keys = runs.objects.keys("books-1")
    report = ("index.html", "table.md", "figures/curves.png", "figures/confusion.png")
    assert {f"books-1/report/{name}" for name in report} <= set(keys)

    pulled = run("results", "pull", "books-1", "--to", str(tmp_path / "pulled"))
    assert pulled.exit_code == 0, pulled.output
    assert "shapes" in (tmp_path / "pulled/books-1/report/table.md").read_text()
    assert "books-1" in run("results", "list").output
    assert "t0000" in run("results", "show", "books-1").output

    # neither keys nor token are in anything that a sweep leaves: store, log, what Ray keeps on its nodes
    secrets = Path(cluster.token_path).read_text().split()
    secrets += [line.partition("=")[2].strip() for line in Path(cluster.credentials_path).read_text().splitlines()]
    left = [runs.objects.read(key) for key in keys] + [output.encode(), run("job", "logs", "books-1").output.encode()]
    left += [path.read_bytes() for path in Path(cluster.temp_dir).rglob("*") if path.is_file()]
    for secret in filter(None, secrets):
        assert not [content for content in left if secret.encode() in content]


def test_ray_job_submit_and_a_folder_as_store(cluster: LocalCluster, tmp_path: Path) -> None:
    """Ray's own command, as the README shows it; a store that is no S3."""
    command = ["job", "submit", "--working-dir", str(ROOT), "--", "python", "jobs/tune_cnn.py"]
    command += ["--trials", "1", "--max-epochs", "1", "--data", "shapes:500", "--storage", str(tmp_path)]
    command += ["--keep", "winner"]
    done = run(*command, program="ray")
    assert done.exit_code == 0, done.output
    runs = connect_runs(str(tmp_path))
    (sweep_id,) = runs.sweep_ids()
    check_books(runs, sweep_id, num_trials=1)

    # as a driver leaves it that is killed as it removes
    kept = CheckpointStore(runs.objects, sweep_id, "t0000")
    kept.save(Checkpoint(epoch=2, validation_accuracy=0.0, config={}, weights=b"", trainer_state=b""))
    again = run(*command, "--sweep-id", sweep_id, "--start-or-resume", program="ray")
    assert again.exit_code == 0, again.output
    assert f"sweep {sweep_id} finished" in again.output
    assert kept.epochs() == [1]


def test_a_trial_that_fails_does_not_end_the_sweep(cluster: LocalCluster) -> None:
    """A whole checkpoint of other settings lies where the trial looks for its own.

    The finals of the others have what the cohort held: in a cluster of this size its engine leaves too little beside.
    """
    runs = connect_runs(None)
    foreign = Checkpoint(epoch=1, validation_accuracy=0.9, config={"model": "x"}, weights=b"", trainer_state=b"")
    CheckpointStore(runs.objects, "fails-1", "t0001").save(foreign)
    size = ("--trials", "3", "--max-epochs", "1", "--seeds", "1", "--data", "shapes:500")
    output = submit("cnn", *size, "--sweep-id", "fails-1")
    outcomes = {trial.trial_id: trial.outcome for trial in runs.trials("fails-1")}
    assert outcomes == {"t0000": "completed", "t0001": "failed", "t0002": "completed"}
    failed = runs.trials("fails-1")[1]
    assert "other settings" in str(failed.error)
    assert "trial t0001 failed" in output
    result = runs.result("fails-1")
    assert result is not None
    assert result.outcomes == {"completed": 2, "failed": 1}
    assert "t0001" not in result.ranking
    assert "each retrained on 1 seed\n" in output
    assert "waiting seconds" not in output


@pytest.mark.fault("the store refuses trials alone")
@pytest.mark.chaos
@pytest.mark.parametrize(("sweep_id", "how"), [("refused-1", []), ("refused-2", ["--no-cohort"])])
def test_a_store_that_refuses_the_trials_alone_ends_the_sweep_for_a_later_resume(
    cluster: LocalCluster, tmp_path: Path, sweep_id: str, how: list[str]
) -> None:
    """Something lies where a trial's checkpoints are to go, while the driver can write its records."""
    in_the_way = tmp_path / layout.checkpoints(sweep_id, "t0000")
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    # no trial is stopped early, which would end without its last upload
    arguments = ["--trials", "2", "--max-epochs", "2", "--grace-period", "2", "--data", "shapes:500", *how]
    arguments += ["--storage", str(tmp_path), "--sweep-id", sweep_id]
    refused = run("job", "submit", "cnn", *arguments)
    assert refused.exit_code == 1, refused.output
    assert "broke off: trial t0000: " in refused.output
    assert f"see whether every node can write to the store; then resume it: --sweep-id {sweep_id}" in refused.output
    assert "Traceback" not in refused.output
    runs = connect_runs(str(tmp_path))
    assert runs.result(sweep_id) is None
    assert {trial.trial_id: trial.outcome for trial in runs.trials(sweep_id)}["t0000"] == "running"

    in_the_way.unlink()
    submit("cnn", *arguments, "--resume")
    check_books(runs, sweep_id, num_trials=2)
