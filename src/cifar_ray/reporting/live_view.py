"""Shows a running job in a terminal: learning curves, ASHA's rungs, the estimated time left."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cifar_ray.errors import plain
from cifar_ray.progress.asha import Rung, rungs, seconds_left
from cifar_ray.progress.board import Board, Curve
from cifar_ray.progress.ranking import rank_key
from cifar_ray.progress.sweep_log import FinalsAhead, Waiting
from cifar_ray.progress.sweep_progress import SweepProgress
from cifar_ray.reporting.formats import percent, seconds
from cifar_ray.reporting.terminal import verbatim
from cifar_ray.studies import Budget
from cifar_ray.wording import counted

BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 32
"""Columns of a learning curve, and of a rung's bar."""
BAR_WIDTH = 28
MAX_CURVES = 12
STYLES = {"running": "cyan", "completed": "green", "stopped": "dim", "diverged": "yellow", "failed": "red"}
_OTHER_LINES = 12
"""Lines of the view besides curves and rungs."""


def live_renderable(board: Board, *, state: str, job: str, height: int = 40) -> RenderableType:
    """The job, in at most `height` lines of 80 columns."""
    heading = verbatim(job, "bold").append(f"  {state}", style="bold cyan" if state == "RUNNING" else "bold")
    if state == "LOST":
        heading.append("\nthe cluster does not answer; the job goes on without us", style="yellow")
    if (waiting := board.waiting) is not None and state == "RUNNING":
        heading.append("\n").append_text(verbatim(_waiting(waiting), "red" if waiting.is_stuck else "yellow"))
    if board.progress is None:
        return heading
    # what is waited for may take several
    height -= sum(len(line) // 80 for line in heading.plain.split("\n"))
    parts: list[RenderableType] = [heading, _progress(board, board.progress, state)]
    all_rungs = rungs(board.budget, board.curves.values()) if board.budget else []
    num_curves = min(MAX_CURVES, height - _OTHER_LINES - len(all_rungs))
    if board.budget and board.curves and num_curves > 0:
        parts += [Text(), _curves(board.budget, list(board.curves.values()), num_curves)]
    if any(rung.num_judged for rung in all_rungs) and height > _OTHER_LINES + len(all_rungs):
        parts += [Text(), _rungs(all_rungs)]
    return Group(*parts)


def sparkline(accuracies: dict[int, float], *, num_epochs: int, low: float, high: float, width: int) -> str:
    """A curve of accuracies by epoch in `width` columns or, where there are fewer epochs, one column for each.

    A column shows in which eighth of `low` to `high` its last epoch lies; one without an epoch is blank.
    """
    columns = min(width, num_epochs)
    last = {(epoch - 1) * columns // num_epochs: accuracy for epoch, accuracy in sorted(accuracies.items())}
    scale = len(BARS) / (high - low) if high > low else 0.0
    levels = {column: min(len(BARS) - 1, max(0, int((value - low) * scale))) for column, value in last.items()}
    return "".join(BARS[levels[column]] if column in levels else " " for column in range(columns)).rstrip()


def time_left(board: Board, state: str) -> float | None:
    """Seconds until the search or the finals end; None where that is unknown, or the job does not run."""
    return seconds_left(board) if state == "RUNNING" else None


def _progress(board: Board, progress: SweepProgress, state: str) -> RenderableType:
    bar = Table.grid(padding=(0, 2))
    left = time_left(board, state)
    after = f", some {seconds(left)} left" if left is not None and progress.ended < progress.trials else ""
    bar.add_row(
        ProgressBar(total=max(1, progress.trials), completed=progress.ended, width=BAR_WIDTH, complete_style="cyan"),
        Text(f"{progress.ended}/{progress.trials} trials", no_wrap=True),
        Text(f"{seconds(progress.elapsed_s)}{after}", no_wrap=True),
    )
    counts = Text()
    for name, style in STYLES.items():
        if number := getattr(progress, name):
            counts.append(f"{number} {name}", style=style).append("  ")
    counts.append(f"{progress.epochs} epochs", style="default")
    best = Text()
    if progress.best_validation_accuracy is not None:
        best.append("best ").append(f"{percent(progress.best_validation_accuracy, 2)} %", style="bold green")
        best.append_text(verbatim(f" on validation, by {progress.best_trial}, "))
    best.append_text(verbatim(f"data: {progress.dataset}"))
    then = [Text(f"then {_finals(board.finals)}", style="dim")] if board.finals else []
    return Group(bar, counts, best, *then)


def _curves(budget: Budget, curves: Sequence[Curve], num_curves: int) -> RenderableType:
    """The best trials, and the number of the others: curves on one scale, from the worst to the best accuracy shown."""
    ranked = sorted(curves, key=lambda curve: rank_key(curve.best, curve.trial_id))
    shown = ranked[: num_curves if len(ranked) <= num_curves else num_curves - 1]
    values = [accuracy for curve in shown for accuracy in curve.accuracies.values()]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("trial", no_wrap=True)
    table.add_column("state", no_wrap=True, min_width=9)
    for name in ("epoch", "best %"):
        table.add_column(name, justify="right", no_wrap=True)
    scale = f"validation, {percent(low, 0)} to {percent(high, 0)} %" if values else "validation"
    table.add_column(scale, no_wrap=True)
    for curve in shown:
        style = STYLES[curve.outcome]
        line = sparkline(curve.accuracies, num_epochs=budget.max_epochs, low=low, high=high, width=CURVE_WIDTH)
        table.add_row(
            Text(curve.trial_id),
            Text(curve.outcome, style=style),
            f"{curve.num_epochs}/{budget.max_epochs}",
            Text(percent(curve.best, 2), style="bold green" if curve is ranked[0] and curve.best else ""),
            Text(line, style=style).append("·" * (min(CURVE_WIDTH, budget.max_epochs) - len(line)), style="dim"),
        )
    num_others = len(ranked) - len(shown)
    return Group(table, Text(f"and {num_others} others", style="dim")) if num_others else table


def _rungs(all_rungs: Sequence[Rung]) -> RenderableType:
    """A line for each rung; its bar is the share of the trials judged there that went on."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("rung", no_wrap=True)
    for name in ("stopped", "went on"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("share that went on", no_wrap=True)
    for rung in all_rungs:
        share = rung.num_passed / rung.num_judged if rung.num_judged else 0.0
        bar = Text("█" * round(share * CURVE_WIDTH), style="cyan")
        if rung.num_judged:
            bar.append("░" * (CURVE_WIDTH - len(bar)), style="dim").append(f" {percent(share, 0)} %", style="default")
        table.add_row(counted(rung.epoch, "epoch"), str(rung.num_stopped), str(rung.num_passed), bar)
    return table


def plain_progress(board: Board, *, state: str, job: str) -> str:
    """The job's progress on one line, for a log."""
    if board.waiting is not None and state == "RUNNING":
        return plain(f"{job} {state} {_waiting(board.waiting)}")
    if board.progress is None:
        return f"{job} {state}"
    left = time_left(board, state)
    after = "" if left is None or board.progress.ended == board.progress.trials else f" eta_s={left:.0f}"
    then = f", then {_finals(board.finals)}" if board.finals else ""
    return plain(f"{job} {state} {board.progress.to_line()}{after}{then}")


def _finals(finals: FinalsAhead) -> str:
    return f"finals: {counted(finals.num_trainings, 'training')} of {counted(finals.num_epochs, 'epoch')}"


def _waiting(waiting: Waiting) -> str:
    kind = "stuck" if waiting.is_stuck else "waiting for nodes"
    return f"{kind}: no trial runs, for {seconds(waiting.seconds)}; {waiting.what}"
