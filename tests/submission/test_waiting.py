"""Waiting, against a cluster that does what the test says."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fake_jobs import FakeJobs, job_status

from cifar_ray.errors import JobFailedError, JobStoppedError, UnknownNameError, UnreachableError
from cifar_ray.progress.sweep_progress import SweepProgress
from cifar_ray.submission import waiting
from cifar_ray.submission.job_status import JobStatus, resume_command
from cifar_ray.submission.waiting import Observation, check_succeeded, observe_job, stop_and_wait, wait_for_job

PROGRESS = (
    "progress elapsed_s=1.0 trials=2 running={} stopped=0 completed=0 diverged=0 failed=0 epochs=1 "
    "best_validation_accuracy=0.5000 best_trial=t0000 dataset=shapes"
)


def watch(jobs: FakeJobs, **options: Any) -> list[Observation]:
    seen: list[Observation] = []
    wait_for_job(jobs, "job-1", seen.append, period_s=0.001, **options)
    return seen


def test_new_lines_come_once_and_progress_apart() -> None:
    first = f"hello\n{PROGRESS.format(1)}\nhalf a li"
    seen = watch(FakeJobs(("RUNNING", first), ("SUCCEEDED", f"{first}ne\n{PROGRESS.format(0)}\nbye")))
    running = [event.running for each in seen for event in each.events if isinstance(event, SweepProgress)]
    assert [each.new_lines for each in seen] == [("hello",), ("half a line", "bye")]
    assert running == [1, 0]


def test_a_lost_connection_is_waited_out() -> None:
    seen = watch(FakeJobs(("RUNNING", "a\n"), UnreachableError, UnreachableError, ("SUCCEEDED", "a\nb\n")))
    assert [each.state for each in seen] == ["RUNNING", "LOST", "LOST", "SUCCEEDED"]
    assert seen[-1].new_lines == ("b",)


@pytest.mark.parametrize(("look_s", "pause_s"), [(0.1, 1.0), (4.0, 12.0), (60.0, waiting.LONGEST_PERIOD_S)])
def test_a_log_that_takes_long_to_read_is_not_read_all_the_time(
    monkeypatch: pytest.MonkeyPatch, look_s: float, pause_s: float
) -> None:
    """Each look reads it from its beginning."""
    jobs, slept, now = FakeJobs(*[("RUNNING", "")] * 3, ("SUCCEEDED", "")), list[float](), 0.0
    read = jobs.logs

    def read_slowly(submission_id: str) -> str:
        nonlocal now
        now += look_s
        return str(read(submission_id))

    monkeypatch.setattr(jobs, "logs", read_slowly)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: now, sleep=slept.append))
    wait_for_job(jobs, "job-1", lambda seen: None)
    assert slept == pytest.approx([pause_s] * 3)


def test_only_silence_counts_not_how_long_the_job_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    minutes = SimpleNamespace(monotonic=lambda: 60.0 * len(slept), sleep=slept.append)
    monkeypatch.setattr(waiting, "time", minutes)
    seen = watch(FakeJobs(*[("RUNNING", "")] * 9, UnreachableError, ("SUCCEEDED", "")), lost_deadline_s=300)
    assert [each.state for each in seen[-2:]] == ["LOST", "SUCCEEDED"]


def test_a_cluster_that_was_stopped_ends_the_wait_at_once() -> None:
    gone = iter((False, True))
    with pytest.raises(JobStoppedError, match="job job-1: its cluster was stopped") as caught:
        watch(FakeJobs(("RUNNING", "a\n"), UnreachableError), is_gone=lambda: next(gone))
    assert caught.value.exit_code == 3
    assert caught.value.hint == "start one with `cifar-ray local up`"


def test_a_sweep_whose_cluster_was_stopped_can_go_on() -> None:
    jobs = FakeJobs(("RUNNING", "a\n"), UnreachableError, study="cnn", sweep_id="cnn-1")
    with pytest.raises(JobStoppedError) as caught:
        watch(jobs, is_gone=lambda: True)
    assert caught.value.hint == "continue with `cifar-ray local up; cifar-ray job submit cnn --sweep-id cnn-1 --resume`"


def test_what_is_given_up_is_told_with_a_command_that_names_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeJobs, "flags", " --release sweeps --namespace ml")
    with pytest.raises(UnreachableError, match="may still run") as lost:
        watch(FakeJobs(UnreachableError), lost_deadline_s=0.02)
    with pytest.raises(JobFailedError) as failed:
        check_succeeded(FakeJobs(("FAILED", "")), job_status("FAILED"))
    with pytest.raises(JobStoppedError) as stopped:
        check_succeeded(FakeJobs(("STOPPED", "")), job_status("STOPPED", study="cnn", sweep_id="cnn-1"))
    assert str(stopped.value.hint).endswith("--resume --release sweeps --namespace ml`")
    monkeypatch.setattr(FakeJobs, "stop", lambda *_: True)
    with pytest.raises(UnreachableError, match="has not stopped") as running:
        stop_and_wait(FakeJobs(("RUNNING", "")), "job-1", deadline_s=0.01)
    for caught in (lost, failed, running):
        assert str(caught.value.hint).endswith("job-1 --release sweeps --namespace ml`")


def test_only_success_is_success() -> None:
    def fail(log: str, **changes: Any) -> None:
        check_succeeded(FakeJobs(("FAILED", log)), replace(job_status("FAILED"), **changes))

    check_succeeded(FakeJobs(UnreachableError), job_status("SUCCEEDED"))
    with pytest.raises(JobStoppedError) as stopped:
        check_succeeded(
            FakeJobs(UnreachableError), job_status("STOPPED", study="cnn", sweep_id="cnn-1", storage="s3://b/p")
        )
    command = "cifar-ray job submit cnn --sweep-id cnn-1 --resume --storage s3://b/p"
    assert (stopped.value.exit_code, stopped.value.hint) == (3, f"continue with `{command}`")
    with pytest.raises(JobFailedError) as failed:
        fail("x\nerror: no bucket\nhint: make one\n")
    assert (failed.value.exit_code, failed.value.message) == (1, "job job-1: no bucket")
    assert failed.value.hint == "make one"
    with pytest.raises(JobStoppedError, match="job job-1: sweep cnn-1 reached its time limit"):
        fail("error: sweep cnn-1 reached its time limit\nhint: go on\n", exit_code=124)
    with pytest.raises(JobFailedError) as silent:
        fail("")
    assert "job logs job-1" in str(silent.value.hint)


class LoglessJobs(FakeJobs):
    """The node of the log is gone, as of a pod that the autoscaler has removed; the head answers."""

    message = ""

    def status(self, submission_id: str) -> JobStatus:
        return replace(super().status(submission_id), message=self.message)

    def logs(self, submission_id: str) -> str:
        super().logs(submission_id)
        raise UnreachableError("no agent answers")


LOGLESS = "the log of job job-1 cannot be read: no agent answers"


def test_a_job_that_has_ended_does_so_without_its_log() -> None:
    seen = watch(LoglessJobs(("RUNNING", ""), ("FAILED", "")), lost_deadline_s=20)
    assert [(each.state, each.new_lines, each.all_lines) for each in seen] == [
        ("LOST", (), ()),
        ("FAILED", (LOGLESS,), (LOGLESS,)),
    ]
    jobs = LoglessJobs(("SUCCEEDED", ""))
    assert observe_job(jobs, "job-1").message == LOGLESS
    jobs.message = "it has exited"
    assert observe_job(jobs, "job-1").message == f"it has exited\n{LOGLESS}"


def test_the_log_of_a_job_that_has_ended_is_read_once_its_cluster_answers_again() -> None:
    class Lost(FakeJobs):
        def logs(self, submission_id: str) -> str:
            if len(self.looks) == 3:
                super().logs(submission_id)
                raise UnreachableError("no Ray cluster answers")
            return super().logs(submission_id)

    seen = watch(Lost(("SUCCEEDED", "a\n"), UnreachableError, ("SUCCEEDED", "a\nb")))
    assert [(each.state, each.new_lines) for each in seen] == [("LOST", ()), ("SUCCEEDED", ("a", "b"))]


def test_what_a_job_whose_log_is_lost_said_last_is_in_the_clusters_message() -> None:
    def fail(message: str, exit_code: int = 1) -> JobFailedError | JobStoppedError:
        with pytest.raises((JobFailedError, JobStoppedError)) as caught:
            check_succeeded(
                LoglessJobs(("FAILED", "")), replace(job_status("FAILED"), message=message, exit_code=exit_code)
            )
        return caught.value

    unsaid = fail("the node is gone")
    assert (type(unsaid), unsaid.message) == (JobFailedError, "job job-1 failed: the node is gone")
    assert unsaid.hint == "its log cannot be read: no agent answers"
    quoted = fail("failed with exit code 2, last available logs:\nx\nerror: no bucket\nhint: make one")
    assert (quoted.message, quoted.hint) == ("job job-1: no bucket", "make one")
    assert type(fail("error: it reached its time limit", 124)) is JobStoppedError


def test_stop_waits_for_the_end() -> None:
    assert stop_and_wait(FakeJobs(("RUNNING", "")), "job-1", deadline_s=5).state == "STOPPED"


def test_stop_waits_out_an_answer_that_does_not_come() -> None:
    jobs = FakeJobs(UnreachableError, ("RUNNING", ""))
    assert stop_and_wait(jobs, "job-1", deadline_s=5).state == "STOPPED"


def test_a_job_that_a_restarted_cluster_has_forgotten_can_go_on() -> None:
    jobs = FakeJobs(("RUNNING", "a\n"), UnreachableError, UnknownNameError, study="cnn", sweep_id="cnn-1")
    with pytest.raises(JobStoppedError, match="knows it no more") as caught:
        watch(jobs)
    assert caught.value.exit_code == 3
    assert caught.value.hint == "continue with `cifar-ray job submit cnn --sweep-id cnn-1 --resume`"
    with pytest.raises(UnknownNameError):
        watch(FakeJobs(UnknownNameError))


def test_the_jobs_folder_of_a_study_of_ones_own_is_in_the_command_that_resumes_it() -> None:
    metadata = {"study": "mine", "sweep_id": "mine-1", "jobs": "/home/me/my jobs"}
    assert str(resume_command(metadata)).endswith("--sweep-id mine-1 --resume --jobs '/home/me/my jobs'")
