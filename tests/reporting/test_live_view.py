import io
from dataclasses import replace

import pytest
from rich.console import Console

from cifar_ray.progress.board import Board
from cifar_ray.progress.sweep_log import FinalsAhead, TrialEpoch, TrialState, Waiting
from cifar_ray.progress.sweep_progress import SweepProgress
from cifar_ray.reporting.live_view import live_renderable, plain_progress, sparkline
from cifar_ray.studies import Budget

HOSTILE = "[red]x[/red]\x1b[31m"
PROGRESS = SweepProgress(
    elapsed_s=3725.0,
    trials=30,
    running=4,
    stopped=12,
    completed=2,
    diverged=1,
    failed=3,
    epochs=131,
    best_validation_accuracy=0.6712,
    best_trial="t0007",
    dataset="cifar10",
)
FINALS = FinalsAhead(num_trainings=4, num_epochs=13)
BUDGET = Budget(num_trials=30, max_epochs=16, grace_period=1, reduction_factor=4)


def board(*events: object, progress: SweepProgress = PROGRESS) -> Board:
    made = Board()
    for each in (*events, progress):
        made.take(each)  # type: ignore[arg-type]
    return made


def epoch(trial: str, number: int, accuracy: float | None) -> TrialEpoch:
    return TrialEpoch(trial_id=trial, epoch=number, validation_accuracy=accuracy, seconds=2.0)


def some_trials(num_trials: int) -> list[object]:
    """Trial i: one epoch of i per cent more than 10 and stopped, the last one running, with a second epoch."""
    events: list[object] = [BUDGET]
    for index in range(num_trials):
        trial = f"t{index:04d}"
        events.append(epoch(trial, 1, 0.1 + index / 100))
        is_last = index == num_trials - 1
        events.append(epoch(trial, 2, 0.9) if is_last else TrialState(trial_id=trial, outcome="stopped"))
    return events


def show(made: Board, *, state: str = "RUNNING", job: str = "j", height: int = 40) -> list[str]:
    console = Console(width=80, file=io.StringIO(), record=True, force_terminal=False)
    console.print(live_renderable(made, state=state, job=job, height=height))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, lines)) <= 80
    assert len(lines) <= height
    return lines


def test_counts_best_and_data() -> None:
    lines = show(board(), job="raysubmit_1")
    assert lines[0] == "raysubmit_1  RUNNING"
    assert lines[1].endswith(" 18/30 trials  1 h 02 min")
    assert lines[2] == "4 running  2 completed  12 stopped  1 diverged  3 failed  131 epochs"
    assert lines[3] == "best 67.12 % on validation, by t0007, data: cifar10"


def test_finals_that_will_follow_are_said() -> None:
    made = board(BUDGET, FINALS)
    assert "then finals: 4 trainings of 13 epochs" in show(made)
    assert plain_progress(made, state="RUNNING", job="j").endswith(", then finals: 4 trainings of 13 epochs")
    made.take(replace(BUDGET, num_trials=4))
    made.take(PROGRESS)
    assert "finals" not in "".join(show(made)) + plain_progress(made, state="RUNNING", job="j")


def test_the_bar_grows_with_the_trials_that_ended() -> None:
    def filled(running: int) -> int:
        return show(board(progress=replace(PROGRESS, running=running, stopped=24 - running)))[1].count("━")

    assert filled(20) < filled(4) < filled(0)


def test_curves_stand_best_first_on_one_scale() -> None:
    text = "\n".join(show(board(*some_trials(3))))
    assert "t0002  running     2/16   90.00  ▁█··············\n" in text
    assert "t0001  stopped     1/16   11.00  ▁" in text
    assert text.index("t0002 ") < text.index("t0001 ") < text.index("t0000 ")
    assert "validation, 10 to 90 %" in text


def test_rungs_count_who_stopped_there() -> None:
    lines = show(board(*some_trials(3)))
    (first,) = [line for line in lines if line.startswith("1 epoch ")]
    assert first.split()[2:4] == ["2", "1"]
    assert first.endswith("33 %")
    assert [line.split()[0] for line in lines[-3:]] == ["rung", "1", "4"]  # at 16, its last epoch, a trial just ends


@pytest.mark.parametrize("height", [6, 12, 16, 24, 60])
def test_many_trials_fit_the_terminal(height: int) -> None:
    lines = show(board(*some_trials(30), FINALS), height=height)
    if height >= 24:
        shown = sum(line.startswith("t00") for line in lines)
        assert f"and {30 - shown} others" in lines
        assert any(line.startswith("t0029  running") for line in lines)


@pytest.mark.parametrize("num_words", [1, 60, 200])
def test_a_long_reason_to_wait_leaves_fewer_curves(num_words: int) -> None:
    waiting = Waiting(seconds=100, is_stuck=True, what="no node " * num_words)
    made = board(*some_trials(30), FINALS, progress=replace(PROGRESS, running=0))
    made.take(waiting)
    assert any(line.startswith("rung") for line in show(made, height=36))


def test_before_the_first_line_and_the_first_epoch() -> None:
    assert show(Board(), state="PENDING") == ["j  PENDING"]
    early = replace(PROGRESS, trials=0, best_validation_accuracy=None, best_trial=None)
    assert not [line for line in show(board(BUDGET, progress=early)) if "best" in line]
    started = board(BUDGET, TrialState(trial_id="t0000", outcome="running"), epoch("t0001", 1, None), progress=early)
    assert any(line.startswith("t0000  running     0/16") for line in show(started))


def test_a_lost_cluster_is_said() -> None:
    assert "the cluster does not answer" in "\n".join(show(board(), state="LOST"))


def test_hostile_names_are_text() -> None:
    hostile = board(progress=replace(PROGRESS, dataset=HOSTILE, best_trial=HOSTILE))
    text = "\n".join(show(hostile, job=HOSTILE))
    assert text.count("[red]x[/red] [31m") == 3
    assert "\x1b" not in text + plain_progress(hostile, state="RUNNING", job=HOSTILE)


def test_a_sparkline_has_a_column_for_each_epoch_or_share_of_them() -> None:
    curve = {1: 0.0, 2: 0.5, 3: 1.0}
    assert sparkline(curve, num_epochs=5, low=0.0, high=1.0, width=32) == "▁▅█"
    assert sparkline({1: 0.0, 3: 1.0}, num_epochs=5, low=0.0, high=1.0, width=32) == "▁ █"
    hundred = {number: number / 100 for number in range(1, 101)}
    assert sparkline(hundred, num_epochs=100, low=0.0, high=1.0, width=8) == "▂▃▄▅▆▇██"
    assert sparkline({1: 0.3}, num_epochs=1, low=0.3, high=0.3, width=8) == "▁"


def test_one_plain_line_with_what_is_left() -> None:
    line = plain_progress(board(), state="RUNNING", job="j")
    assert line.startswith("j RUNNING progress elapsed_s=3725.0 trials=30 ")
    assert "eta_s" not in line
    running = board(replace(PROGRESS, elapsed_s=1.0, epochs=0), *some_trials(8))
    assert " eta_s=" in plain_progress(running, state="RUNNING", job="j")
    for state in ("LOST", "STOPPED", "FAILED"):
        assert "eta_s" not in plain_progress(running, state=state, job="j")
        assert " left" not in "".join(show(running, state=state))


def test_it_says_what_a_sweep_waits_for_until_a_trial_runs() -> None:
    waiting = Waiting(seconds=40, is_stuck=False, what=f"1 node starting {HOSTILE}")
    idle = replace(PROGRESS, running=0)
    made = board(progress=idle)
    made.take(waiting)
    assert "waiting for nodes: no trial runs, for 40 s; 1 node starting" in show(made)[1]
    assert plain_progress(made, state="RUNNING", job="j").startswith("j RUNNING waiting for nodes: no trial runs")
    made.take(replace(waiting, is_stuck=True))
    assert show(made)[1].startswith("stuck: no trial runs")
    assert not any("stuck" in line for line in show(made, state="FAILED"))
    made.take(idle)
    assert show(made)[1].startswith("stuck")
    made.take(PROGRESS)
    assert not any("stuck" in line for line in show(made))
