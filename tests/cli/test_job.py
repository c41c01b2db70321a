"""`cifar-ray job` of a cluster that answers as the test says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_jobs import FakeJobs

from cifar_ray.capacity import NodeKind
from cifar_ray.cli import demand, job
from cifar_ray.cli import main as main_module
from cifar_ray.cli.main import main
from cifar_ray.errors import UnknownNameError, UnreachableError
from cifar_ray.submission import waiting
from cifar_ray.submission.job_spec import JobSpec, find_jobs

PROGRESS = (
    "progress elapsed_s=1.0 trials=2 running=1 stopped=0 completed=0 diverged=0 failed=0 epochs=1 "
    "best_validation_accuracy=0.5000 best_trial=t0000 dataset=shapes"
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: None)


def run(monkeypatch: pytest.MonkeyPatch, client: FakeJobs, *arguments: str) -> Result:
    monkeypatch.setattr(job, "connect_jobs", lambda release: client)
    return CliRunner().invoke(main, ["job", *arguments])


@pytest.mark.parametrize(
    ("tail", "lines"), [((), ["one", "two", PROGRESS]), (("--tail", "2"), ["two", PROGRESS]), (("--tail", "0"), [])]
)
def test_logs_are_printed_as_they_are(monkeypatch: pytest.MonkeyPatch, tail: tuple[str, ...], lines: list[str]) -> None:
    done = run(monkeypatch, FakeJobs(("RUNNING", f"one\ntwo\n{PROGRESS}\n")), "logs", *tail)
    assert (done.exit_code, done.output.splitlines()) == (0, lines)


def test_followed_logs_end_with_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    first = f"one\ntwo\n{PROGRESS}\nhal"
    client = FakeJobs(
        UnreachableError, ("RUNNING", first), UnreachableError, ("SUCCEEDED", f"{first}f\n{PROGRESS}\nbye")
    )
    done = run(monkeypatch, client, "logs", "--follow", "--tail", "1")
    assert (done.exit_code, done.stdout.splitlines()) == (0, [PROGRESS, "half", PROGRESS, "bye"])
    assert done.stderr.count("does not answer") == 2


@pytest.mark.parametrize(("state", "code"), [("FAILED", 1), ("STOPPED", 3)])
def test_followed_logs_have_the_exit_code_of_a_watched_status(
    monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    for command in (["logs", "job-1", "--follow"], ["status", "job-1", "--watch"]):
        assert run(monkeypatch, FakeJobs((state, "error: no bucket\n")), *command).exit_code == code


def test_a_cluster_that_is_lost_after_the_end_leaves_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    class LostClient(FakeJobs):
        def logs(self, submission_id: str) -> str:
            if len(self.looks) == 1:
                raise UnreachableError("no Ray cluster answers")
            return super().logs(submission_id)

    for state, code in (("SUCCEEDED", 0), ("STOPPED", 3), ("FAILED", 1)):
        client = LostClient((state, "bye\n"), UnreachableError)
        assert run(monkeypatch, client, "logs", "--follow").exit_code == code


def test_an_interrupt_of_followed_logs_leaves_the_job_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeJobs(("RUNNING", "one\n"), KeyboardInterrupt)
    done = run(monkeypatch, client, "logs", "--follow")
    assert (done.exit_code, done.output, client.num_stops) == (130, "one\n", 0)


def test_a_second_interrupt_does_not_wait_for_the_stop_that_it_has_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeJobs(("RUNNING", "one\n"), KeyboardInterrupt, KeyboardInterrupt)
    done = run(monkeypatch, client, "submit", "cnn", "--sweep-id", "job-1")
    assert (done.exit_code, client.num_stops) == (130, 1)
    assert "job job-1 was asked to stop" in done.stderr
    assert "`cifar-ray job status job-1`" in done.stderr
    assert "Aborted" not in done.output


@pytest.mark.parametrize("is_taken", [True, False])
def test_a_job_is_stopped_that_was_taken_as_its_submission_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, is_taken: bool
) -> None:
    class Interrupted(FakeJobs):
        def submit(self, spec: JobSpec) -> str:
            raise KeyboardInterrupt

        def stop(self, submission_id: str) -> bool:
            if not is_taken:
                raise UnknownNameError.of("job", submission_id, [])
            return super().stop(submission_id)

    client = Interrupted(("RUNNING", "one\n"))
    done = run(monkeypatch, client, "submit", "cnn", "--sweep-id", "job-1")
    assert (done.exit_code, client.num_stops) == (130, int(is_taken))
    assert ("job job-1: STOPPED" in done.stderr) == is_taken
    assert ("`cifar-ray job stop job-1` ends it" in done.stderr) == (not is_taken)
    assert "Aborted" not in done.output


def test_an_interrupt_while_the_cluster_is_lost_says_that_the_job_may_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost(FakeJobs):
        def stop(self, submission_id: str) -> bool:
            raise UnreachableError("no Ray cluster answers at head")

    client = Lost(("RUNNING", "one\n"), KeyboardInterrupt)
    done = run(monkeypatch, client, "submit", "cnn", "--sweep-id", "job-1")
    assert done.exit_code == 130
    assert "job job-1 may still run: no Ray cluster answers at head" in done.stderr
    assert "`cifar-ray job stop job-1`" in done.stderr


def test_the_last_object_after_an_interrupt_is_the_jobs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeJobs(("RUNNING", "one\n"), KeyboardInterrupt, ("RUNNING", "one\n"))
    done = run(monkeypatch, client, "submit", "cnn", "--sweep-id", "job-1", "--json")
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.exit_code, last["event"], last["state"]) == (130, "state", "STOPPED")


@pytest.mark.parametrize("flags", ["--best-of cnn-1", "--sweep-id cnn-1 --start-or-resume"])
def test_what_only_the_store_could_refuse_is_submitted(monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    """On a cluster of known size, too: these may train individually."""
    monkeypatch.setattr(demand, "_pools", lambda release: ())
    monkeypatch.setattr(
        demand, "_living_nodes", lambda settings: [NodeKind(name="head", resources={"CPU": 4.0}, max_nodes=1)]
    )
    size = ("--cpus-per-trial", "2", "--no-wait")
    done = run(monkeypatch, FakeJobs(("RUNNING", "")), "submit", "cnn", *flags.split(), *size)
    assert done.exit_code == 0, done.output
    assert "train together" in run(monkeypatch, FakeJobs(("RUNNING", "")), "submit", "cnn", *size).output


def test_the_folder_of_the_jobs_goes_with_a_job_that_named_it(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(find_jobs())
    for given, expected in (((), None), (("--jobs", folder), folder)):
        done = run(monkeypatch, FakeJobs(("RUNNING", "")), "submit", "cnn", "--dry-run", *given)
        assert json.loads(done.stdout)["metadata"].get("jobs") == expected


def test_an_interrupt_while_a_job_stops_says_that_it_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeJobs(KeyboardInterrupt)
    done = run(monkeypatch, client, "stop", "job-1")
    assert (done.exit_code, client.num_stops) == (130, 1)
    assert "job job-1 was asked to stop" in done.stderr
    assert "Aborted" not in done.output


def test_jobs_of_others_steer_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeJobs(("RUNNING", "a\x1b]0;pwned\x07\n"))
    hostile = replace(client.status_of("RUNNING"), entrypoint="\x1b]0;pwned", message="\x1b]0;pwned")
    monkeypatch.setattr(job, "connect_jobs", lambda release: client)
    monkeypatch.setattr(client, "status_of", lambda state: hostile)
    for arguments in (["list"], ["logs"], ["status"]):
        said = CliRunner().invoke(main, ["job", *arguments], color=True).output
        assert "]0;pwned" in said
        assert "\x1b]" not in said


def test_folders_of_the_shell_are_named_in_full_to_a_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It runs in a folder of its own, which goes with the cluster."""

    def given(flag: str, value: str) -> str:
        done = CliRunner().invoke(main, ["job", "submit", "cnn", flag, value, "--dry-run"])
        assert done.exit_code == 0, done.output
        words: list[str] = json.loads(done.stdout)["entrypoint"]
        return words[words.index(flag) + 1]

    monkeypatch.chdir(tmp_path)
    for source in ("nope", "x" * 300, "shapes:5", "http://x/y"):
        done = CliRunner().invoke(main, ["job", "submit", "cnn", "--data", source, "--dry-run"])
        assert (done.exit_code, source in done.output) == (2, True), "for want of a cluster, too"
    (tmp_path / "cifar").mkdir()
    for flag in ("--data", "--storage"):
        assert given(flag, "./new") == str(tmp_path / "new")
        assert given(flag, "cifar") == str(tmp_path / "cifar")
        assert given(flag, "~/x") == str(Path.home() / "x")
        assert given(flag, "s3://bucket/x") == "s3://bucket/x"
    for word in ("cifar10", "auto", "shapes"):
        (tmp_path / word).mkdir()
        assert given("--storage", word) == str(tmp_path / word)
    for word in ("cifar10", "auto", "shapes", "shapes:500", ""):
        assert given("--data", word) == word


@pytest.mark.parametrize("flag", ["--data", "--storage"])
def test_a_folder_of_an_unknown_user_is_refused(flag: str) -> None:
    done = CliRunner().invoke(main, ["job", "submit", "cnn", flag, "~no-such-user/x", "--dry-run"])
    assert (done.exit_code, f"error: {flag} is '~no-such-user/x'" in done.output) == (2, True), done.output


def test_an_empty_storage_is_not_the_folder_that_we_are_in() -> None:
    done = CliRunner().invoke(main, ["job", "submit", "cnn", "--storage", "", "--dry-run"])
    assert (done.exit_code, "storage '' is empty" in done.output) == (2, True), done.output


def test_the_help_says_where_the_jobs_scripts_are_taken_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def folder() -> str:
        done = CliRunner().invoke(main, ["job", "submit", "cnn", "--dry-run"])
        return str(json.loads(done.stdout)["working_dir"])

    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert folder() == str(Path(main_module.__file__).parents[3] / "jobs"), "of the checkout of the code"
    (tmp_path / "jobs").mkdir()
    for name in ("tune_cnn.py", "evaluate_best.py"):
        (tmp_path / "jobs" / name).touch()
    assert folder() == str(tmp_path / "jobs")
    said = " ".join(CliRunner().invoke(main, ["job", "submit", "--help"]).output.split())
    assert "[default: the nearest jobs/ here or above, else that of the code's checkout]" in said
