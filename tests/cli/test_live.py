"""The view for programs, and the one for logs, of a job whose log is known."""

import io
import json
from pathlib import Path

import pytest
from fake_jobs import FakeJobs, job_status
from rich.console import Console

from cifar_ray.cli import watching
from cifar_ray.cli.live import JsonView, LiveView, LogView, tame
from cifar_ray.progress.board import Board
from cifar_ray.submission.waiting import Observation, wait_for_job

LOG = """loading data
asha trials=2 max_epochs=4 grace_period=1 reduction_factor=4
cohorts together=2
finals trainings=2 epochs=4
trials t0000:running t0000:1:0.5000:1.5 t0001:1:-:1.0 t0001:diverged
progress elapsed_s=2.0 trials=2 running=1 stopped=0 completed=0 diverged=1 failed=0 epochs=2 \
best_validation_accuracy=0.5000 best_trial=t0000 dataset=shapes
bye
"""
ENDED = ("SUCCEEDED", LOG)


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    view = JsonView("j")
    with view.screen:
        wait_for_job(FakeJobs(("RUNNING", LOG), ENDED), "j", view.observe, period_s=0.001)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["job"] for each in said} == {"j"}
    assert [each["event"] for each in said] == [
        *("log", "log", "budget", "cohorts", "finals", "trial", "epoch", "epoch", "trial", "progress", "state", "state")
    ]
    assert [each["state"] for each in said[10:]] == ["RUNNING", "SUCCEEDED"]
    assert said[1]["line"] == "bye"
    assert said[3] == {"event": "cohorts", "job": "j", "num_together": 2}
    assert said[4] == {"event": "finals", "job": "j", "num_trainings": 2, "num_epochs": 4}
    assert (said[6]["epoch"], said[6]["validation_accuracy"], said[7]["validation_accuracy"]) == (1, 0.5, None)
    assert said[8] == {"event": "trial", "job": "j", "trial_id": "t0001", "outcome": "diverged"}
    assert said[9]["epochs"] == 2
    assert said[9]["eta_s"] > 0


def test_plain_lines_where_there_is_no_terminal() -> None:
    file = io.StringIO()
    view = LiveView(Console(file=file, width=80), "j")
    with view.screen:
        wait_for_job(FakeJobs(ENDED), "j", view.observe)
    first, second, last = file.getvalue().splitlines()
    assert (first, second) == ("loading data", "bye")
    assert last.startswith("j SUCCEEDED progress elapsed_s=2.0 trials=2 ")


def test_plain_lines_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of Emacs' shell, or of a CI job with a pty."""
    monkeypatch.setenv("TERM", "dumb")
    file = io.StringIO()
    view = LiveView(Console(file=file, width=80, force_terminal=True), "j")
    with view.screen:
        view.observe(Observation(state="RUNNING", board=Board()))
        assert file.getvalue().startswith("j RUNNING"), "while the job runs"


RAYS = (
    "2026-11-28 07:29:00,054 INFO job_manager.py:581 -- Runtime env is setting up.",
    "[2026-11-28 07:29:15,779 E 23289 23289] core_worker.cc:2465: Actor with class name: 'CohortEngine' and ID: 'f6f5' "
    "has constructor arguments in the object store and max_restarts > 0. If the arguments in the object store go out "
    "of scope or are lost, the actor restart will fail. See https://github.com/ray-project/ray/issues/53727",
)


def test_what_ray_says_in_every_job_is_left_to_its_log() -> None:
    file = io.StringIO()
    view = LiveView(Console(file=file, width=80), "j")
    view.observe(Observation(state="RUNNING", board=Board(), new_lines=(*RAYS, "(raylet) a node died")))
    assert file.getvalue().splitlines()[0] == "(raylet) a node died"


def test_a_line_of_a_log_may_have_colours_and_move_nothing() -> None:
    file = io.StringIO()
    view = LiveView(Console(file=file, width=80, force_terminal=True, color_system=None), "j")
    line = "\x1b[33mx\x1b[0m\ty\x1b]0;owned\x07\x1b[2Jz"
    view.observe(Observation(state="RUNNING", board=Board(), new_lines=(line,)))
    said = file.getvalue().splitlines()[0]
    assert "owned" in said
    assert not any(each in said for each in ("\x1b]", "\x1b[2J", "\x07"))


def test_colours_are_for_terminals() -> None:
    """Not for files and pipes; colons, as some programs have them, included."""
    seen = Observation(state="RUNNING", board=Board(), new_lines=("\x1b[36m(pid=1)\x1b[0m \x1b[38:5:1mhi\x1b[m",))
    files = {is_terminal: io.StringIO() for is_terminal in (False, True)}
    for is_terminal, file in files.items():
        LiveView(Console(file=file, width=80, force_terminal=is_terminal), "j").observe(seen)
    assert files[False].getvalue().splitlines()[0] == "(pid=1) hi"
    assert files[True].getvalue().startswith("\x1b[36m")


def test_a_terminal_gets_curves(tmp_path: Path) -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, height=40, force_terminal=True, color_system=None)
    view = LiveView(console, "j")
    with view.screen:
        wait_for_job(FakeJobs(ENDED), "j", view.observe)
    assert "t0000  running      1/4   50.00  ▁···" in file.getvalue()
    assert "trials t0000:running" not in file.getvalue()


def test_an_interrupt_asks_the_job_to_stop_also_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """`2>&1 | tee log`, and Ctrl-C, of which tee dies first."""
    asked: list[str] = []

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    def broken(*arguments: object, **options: object) -> None:
        raise BrokenPipeError

    def stop(client: object, submission_id: str) -> object:
        asked.append(submission_id)
        return job_status("SUCCEEDED")

    monkeypatch.setattr(watching, "wait_for_job", interrupted)
    monkeypatch.setattr(watching, "stop_and_wait", stop)
    monkeypatch.setattr(watching.click, "echo", broken)
    with pytest.raises(SystemExit) as ended:
        watching.watch(FakeJobs(ENDED), "j", JsonView("j"))  # type: ignore[arg-type]  # as much of a client as it needs
    assert (asked, ended.value.code) == (["j"], 130)


def test_followed_logs_have_colours_and_move_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[1;31mred\x1b[0m\tone\x1b]0;pwned\x07 \x1b[2Jtwo\x9b3J\rthree\n"
    assert tame(hostile) == "\x1b[1;31mred\x1b[0m\tone ]0;pwned   [2Jtwo 3J three\n"
    LogView(None).observe(Observation(state="RUNNING", board=Board(), all_lines=(hostile,)))
    said = capsys.readouterr().out
    assert "pwned" in said
    assert "\x1b]" not in said
