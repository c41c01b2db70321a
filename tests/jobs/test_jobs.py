"""The jobs, end to end: a real Ray cluster, its Jobs API, a real S3 server, real training."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet
import pytest

from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster.local import LocalCluster
from cifar_ray.errors import CifarRayError
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.runs import RunStore

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400)]


BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Result:
    exit_code: int
    output: str


def run(*arguments: str, program: str = "cifar-ray") -> Result:
    """In a process of its own, as a person does: Ray reads its token's variables when it is loaded."""
    done = subprocess.run(
        [BIN / program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=380,
        check=False,
    )
    return Result(done.returncode, done.stdout)


def submit(*arguments: str) -> str:
    result = run("job", "submit", *arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def small_cifar(real_data: Path, tmp_path: Path) -> str:
    """The first images of the real set, in the same layout."""
    for part, count in (("train", 320), ("test", 100)):
        (path,) = real_data.glob(f"{part}-*.parquet")
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).slice(0, count), tmp_path / path.name)
    return str(tmp_path)


def check_books(runs: RunStore, sweep_id: str, num_trials: int) -> None:
    """Every trial one outcome, every (trial, epoch) one line, every best epoch a whole checkpoint."""
    trials, metrics, result = runs.trials(sweep_id), runs.metrics(sweep_id), runs.result(sweep_id)
    assert result is not None
    assert len(trials) == num_trials == sum(result.outcomes.values())
    assert all(trial.outcome in ("completed", "stopped") for trial in trials)
    expected = {(trial.trial_id, epoch) for trial in trials for epoch in range(1, trial.num_epochs + 1)}
    assert len(metrics) == len(expected)
    assert {(line.trial_id, line.epoch) for line in metrics} == expected
    keys = runs.objects.keys(sweep_id)
    for trial in trials:
        assert f"{sweep_id}/trials/{trial.trial_id}/checkpoints/epoch-{trial.best_epoch:04d}/manifest.json" in keys
        best = max(line.validation_accuracy for line in metrics if line.trial_id == trial.trial_id)
        assert trial.best_validation_accuracy == best
    assert result.winner is not None
    assert result.winner.trial_id == result.ranking[0]
    assert result.winner.best_validation_accuracy == max(line.validation_accuracy for line in metrics)


def test_cnn_sweep_and_evaluation(cluster: LocalCluster, tmp_path: Path) -> None:
    output = submit("cnn", "--trials", "5", "--max-epochs", "4", "--data", "shapes:1000", "--sweep-id", "books-1")
    assert "progress elapsed_s=" in output
    assert "data shapes" in output
    runs = connect_runs(None)
    check_books(runs, "books-1", num_trials=5)
    assert max(trial.num_epochs for trial in runs.trials("books-1")) == 4

    # a taken id is refused; a finished sweep is not run again
    again = run("job", "submit", "cnn", "--trials", "5", "--data", "shapes:1000", "--sweep-id", "books-1")
    assert again.exit_code != 0
    before = runs.metrics("books-1")

    table = submit("evaluate", "books-1")
    assert "not CIFAR-10" in " ".join(table.split())
    scores = runs.test_scores("books-1")
    assert scores is not None
    assert scores.num_images == 200
    assert sum(map(sum, scores.confusion_matrix)) == 200
    keys = runs.objects.keys("books-1")
    assert {
        f"books-1/report/{name}" for name in ("index.html", "table.md", "figures/curves.png", "figures/confusion.png")
    } <= set(keys)

    # the test set is opened once: a second evaluation gives the stored scores back
    submit("evaluate")
    assert runs.test_scores("books-1") == scores
    assert runs.metrics("books-1") == before

    pulled = run("results", "pull", "books-1", "--to", str(tmp_path / "pulled"))
    assert pulled.exit_code == 0, pulled.output
    assert "shapes" in (tmp_path / "pulled/books-1/report/table.md").read_text()
    assert "books-1" in run("results", "list").output
    assert "t0000" in run("results", "show", "books-1").output

    # neither keys nor token are in anything that a sweep leaves, nor in the log
    secrets = Path(cluster.token_path).read_text().split()
    secrets += [line.partition("=")[2].strip() for line in Path(cluster.credentials_path).read_text().splitlines()]
    left = [runs.objects.read(key) for key in keys] + [output.encode(), run("job", "logs", "books-1").output.encode()]
    for secret in filter(None, secrets):
        assert not [content for content in left if secret.encode() in content]


@pytest.mark.parametrize(("study", "trials"), [("resnet", 2), ("resnet-schedule", 2)])
def test_small_resnet_sweeps_on_the_real_set(cluster: LocalCluster, small_cifar: str, study: str, trials: int) -> None:
    sweep_id = f"small-{study}"
    submit(study, "--trials", str(trials), "--max-epochs", "2", "--data", small_cifar, "--sweep-id", sweep_id)
    runs = connect_runs(None)
    check_books(runs, sweep_id, num_trials=trials)
    table = submit("evaluate", sweep_id)
    assert "not the official archive" in " ".join(table.split())
    scores = runs.test_scores(sweep_id)
    assert scores is not None
    assert scores.num_images == 100


def test_ray_job_submit_and_a_folder_as_store(cluster: LocalCluster, tmp_path: Path) -> None:
    """Ray's own command, as the README shows it; a store that is no S3."""
    command = ["job", "submit", "--working-dir", str(ROOT), "--", "python", "jobs/tune_cnn.py"]
    command += ["--trials", "1", "--max-epochs", "1", "--data", "shapes:500", "--storage", str(tmp_path)]
    done = run(*command, program="ray")
    assert done.exit_code == 0, done.output
    (sweep_id,) = connect_runs(str(tmp_path)).sweep_ids()
    check_books(connect_runs(str(tmp_path)), sweep_id, num_trials=1)


REFUSED = [
    ({"data": "cifar100"}, "no source and no folder"),
    ({"data": "/no/such/folder"}, "holds no CIFAR-10"),
    ({"data": "s3://cifar-ray/nothing-here"}, "holds no CIFAR-10"),
    ({"data": "shapes:500", "cpus_per_trial": 64.0, "no_cohort": True}, "no node can hold one trial"),
    ({"data": "shapes:500", "accelerators_per_trial": 1.0, "no_cohort": True}, "no node can hold one trial"),
    ({"data": "shapes:500", "storage": "s3://no-such-bucket/x"}, "NoSuchBucket"),
    ({"data": "shapes:500", "storage": "gs://x"}, "unknown scheme"),
    ({"data": "shapes:500", "sweep_id": "never-was", "resume": True}, "unknown sweep 'never-was'"),
    ({"data": "shapes:500", "trials": 0}, "trials: 0 is out of range"),
]


def test_a_sweep_refuses_bad_input_before_anything_is_written(cluster: LocalCluster) -> None:
    before = connect_runs(None).objects.keys()
    cases = json.dumps([options for options, _ in REFUSED])
    folder = str(ROOT / "tests/jobs/refusals")
    done = run("job", "submit", "--working-dir", folder, "--", "python", "refuse.py", cases, program="ray")
    refusals = [json.loads(line.partition(" ")[2]) for line in done.output.splitlines() if line.startswith("refused ")]
    assert len(refusals) == len(REFUSED), done.output
    for (options, says), (_, message, hint) in zip(REFUSED, refusals, strict=True):
        assert says in message, options
        assert hint, options
    assert connect_runs(None).objects.keys() == before


def test_a_refused_job_ends_with_one_line_and_a_hint(cluster: LocalCluster) -> None:
    result = run("job", "submit", "evaluate", "never-was")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert "error: job evaluate-" in result.output
    assert "unknown sweep 'never-was'" in result.output


def test_a_stopped_sweep_is_resumed_where_it_was(cluster: LocalCluster) -> None:
    """Ctrl-C in mid-sweep, then `job stop` in mid-resume; nothing is lost, nothing is done twice."""
    options = ["cnn", "--trials", "6", "--max-epochs", "6", "--data", "shapes:8000", "--sweep-id", "stop-1"]
    runs = connect_runs(None)
    command = [BIN / "cifar-ray", "job", "submit", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts) as waiting:
        wait_for_metrics(runs, "stop-1", num_lines=2)
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert "go on with `--sweep-id stop-1 --resume`" in said
    assert run("job", "status", "stop-1", "--watch").exit_code == 3
    assert runs.result("stop-1") is None
    before = runs.metrics("stop-1")

    refused = run("job", "submit", *options, "--resume", "--seed", "7")
    assert "was started otherwise" in refused.output
    assert run("job", "submit", *options, "--resume", "--no-wait").exit_code == 0
    (resumed, *_) = run("job", "list").output.split()
    wait_for_metrics(runs, "stop-1", num_lines=len(before) + 1)
    second = run("job", "submit", *options, "--resume")
    assert second.exit_code == 1
    assert "sweep 'stop-1' has a driver at work on it" in second.output
    stopped = run("job", "stop", resumed)
    assert (stopped.exit_code, stopped.output) == (0, f"{resumed} STOPPED\n")

    submit(*options, "--start-or-resume")
    check_books(runs, "stop-1", num_trials=6)
    assert runs.metrics("stop-1")[: len(before)] == before
    # resuming what has finished says so and changes nothing
    assert "finished in" in submit(*options, "--resume")


@pytest.mark.chaos
def test_a_driver_that_is_killed_is_followed_by_another(cluster: LocalCluster) -> None:
    options = ["cnn", "--trials", "6", "--max-epochs", "6", "--data", "shapes:8000", "--sweep-id", "kill-1"]
    runs = connect_runs(None)
    assert run("job", "submit", *options, "--no-wait").exit_code == 0
    wait_for_metrics(runs, "kill-1", num_lines=2)
    (driver,) = processes_with("tune_cnn.py", "kill-1")
    os.kill(driver, signal.SIGKILL)
    assert run("job", "status", "kill-1", "--watch").exit_code == 1
    before = runs.metrics("kill-1")

    said = submit(*options, "--start-or-resume")
    assert "sweep kill-1 has a driver on" in said, "its lease was left behind"
    check_books(runs, "kill-1", num_trials=6)
    assert runs.metrics("kill-1")[: len(before)] == before
    assert "kill-1/lease.json" not in runs.objects.keys("kill-1")


def processes_with(*words: str) -> list[int]:
    """Those whose interpreter has the words among its arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            arguments = path.read_text().split("\0")
            if arguments[0].endswith("python") and all(word in arguments for word in words):
                found.append(int(path.parent.name))
    return found


def test_a_trial_that_fails_does_not_end_the_sweep(cluster: LocalCluster) -> None:
    """A whole checkpoint of other settings lies where the trial looks for its own."""
    runs = connect_runs(None)
    foreign = Checkpoint(epoch=1, validation_accuracy=0.9, config={"model": "x"}, weights=b"", trainer_state=b"")
    CheckpointStore(runs.objects, "fails-1", "t0001").save(foreign)
    output = submit("cnn", "--trials", "3", "--max-epochs", "1", "--data", "shapes:500", "--sweep-id", "fails-1")
    outcomes = {trial.trial_id: trial.outcome for trial in runs.trials("fails-1")}
    assert outcomes == {"t0000": "completed", "t0001": "failed", "t0002": "completed"}
    failed = runs.trials("fails-1")[1]
    assert "other settings" in str(failed.error)
    assert "trial t0001 failed" in output
    result = runs.result("fails-1")
    assert result is not None
    assert result.outcomes == {"completed": 2, "failed": 1}
    assert "t0001" not in result.ranking


def heed_interrupts() -> None:
    """A test run that was started in the background ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_metrics(runs: RunStore, sweep_id: str, num_lines: int, deadline_s: float = 90) -> None:
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        try:
            if len(runs.metrics(sweep_id)) >= num_lines:
                return
        except CifarRayError:
            pass
        time.sleep(0.5)
    pytest.fail(f"{sweep_id} wrote no {num_lines} lines within {deadline_s} s")
