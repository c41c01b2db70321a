"""What the command line shows, as rich renderables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cifar_ray.records import SweepProgress, SweepRecord, TestScores, TrialRecord
from cifar_ray.reporting.formats import MISSING, caution, percent, seconds, setting
from cifar_ray.reporting.score_rows import SETTINGS, report_cells, score_columns
from cifar_ray.storage.runs import SweepSummary
from cifar_ray.studies import Study


def scores_renderable(scores: Sequence[TestScores]) -> RenderableType:
    """The test table beside the report's columns, with the data set's caution below."""
    labels, columns = score_columns(scores)
    table = Table(title="Test scores (accuracies in %)", title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(Text(column.heading), justify="right")
    for label in labels:
        style = "bold" if label == "accuracy" else None
        table.add_row(Text(label), *(Text(column.cells.get(label, MISSING)) for column in columns), style=style)
    cautions = dict.fromkeys(text for each in scores if (text := caution(each.dataset)))
    return Group(table, *(Text(text, style="yellow") for text in cautions))


def sweeps_renderable(summaries: Sequence[SweepSummary]) -> RenderableType:
    """All sweeps, a row each."""
    if not summaries:
        return Text("no sweep yet: start one with `cifar-ray job submit cnn`")
    table = Table("sweep", "data", "state", box=None)
    for name in ("trials", "best val. %", "test %"):
        table.add_column(name, justify="right")
    table.add_column("started (UTC)")
    for summary in summaries:
        winner = summary.result.winner if summary.result else None
        table.add_row(
            Text(summary.sweep.sweep_id),
            Text(summary.sweep.dataset.name),
            "unfinished" if summary.result is None else "evaluated" if summary.scores else "finished",
            str(summary.sweep.num_trials),
            percent(winner.best_validation_accuracy if winner else None, 2),
            percent(summary.scores.accuracy if summary.scores else None, 2),
            summary.sweep.started_at[:16].replace("T", " "),
        )
    return table


def trials_renderable(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> RenderableType:
    """A sweep's trials, best first."""
    ranked = sorted(trials, key=lambda trial: (-(trial.best_validation_accuracy or 0), trial.trial_id))
    used = [name for name in SETTINGS if len({str(trial.config.get(name)) for trial in trials}) > 1]
    table = Table(title=Text(f"{sweep.sweep_id}: data {sweep.dataset.name}, seed {sweep.seed}"), box=None)
    table.title_justify = "left"
    for name in ("trial", "outcome"):
        table.add_column(name)
    for name in ("epochs", "val. %", "at", *(SETTINGS[name] for name in used)):
        table.add_column(name, justify="right")
    for trial in ranked:
        table.add_row(
            trial.trial_id,
            trial.outcome,
            str(trial.num_epochs),
            percent(trial.best_validation_accuracy, 2),
            MISSING if trial.best_epoch is None else str(trial.best_epoch),
            *(Text(setting(name, trial.config)) for name in used),
        )
    failures = [Text(f"{trial.trial_id} failed: {trial.error}") for trial in ranked if trial.error]
    return Group(table, *failures)


def studies_renderable(studies: Sequence[Study]) -> RenderableType:
    """The studies, a row each."""
    table = Table("study", "what", box=None)
    for name in ("trials", "epochs", "report: test %"):
        table.add_column(name, justify="right")
    for study in studies:
        published = f"{100 * study.published.test_accuracy:.4g}" if study.published else MISSING
        table.add_row(study.name, study.title, str(study.budget.num_trials), str(study.budget.max_epochs), published)
    return table


def study_renderable(study: Study) -> RenderableType:
    """A study's space, fixed settings and budget, with what the report found."""
    report = report_cells(study.published) if study.published else {}
    table = Table("setting", "searched", "report's winner", box=None)
    for name, domain in study.space.items():
        table.add_row(SETTINGS.get(name, name), str(domain), report.get(SETTINGS.get(name, name), MISSING))
    for name, value in study.fixed.items():
        table.add_row(SETTINGS.get(name, name), f"always {value}", report.get(SETTINGS.get(name, name), MISSING))
    budget = study.budget
    lines = [
        f"{study.name}: {study.title} (jobs/{study.job})",
        f"{budget.num_trials} trials of at most {budget.max_epochs} epochs; ASHA: grace period {budget.grace_period}, "
        f"reduction factor {budget.reduction_factor}; {study.accelerators_per_trial:g} accelerators a trial",
    ]
    if study.published:
        lines.append(
            f"report: validation {percent(study.published.validation_accuracy)} %, test {report['accuracy']} %"
        )
    return Group(*(Text(line) for line in lines), Text(), table)


def progress_renderable(progress: SweepProgress | None, *, state: str, job: str) -> RenderableType:
    """A running job: a bar over its trials, and where they stand."""
    heading = Text(f"{job}  {state}", style="bold")
    if state == "LOST":
        heading.append("  the cluster does not answer; the job goes on without us", style="yellow")
    if progress is None:
        return heading
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=progress.trials, completed=progress.ended, width=40),
        f"{progress.ended}/{progress.trials} trials  {seconds(progress.elapsed_s)}",
    )
    table = Table(
        "running", "stopped", "done", "diverged", "failed", "epochs", "best val. %", "trial", "data", box=None
    )
    table.add_row(
        str(progress.running),
        str(progress.stopped),
        str(progress.completed),
        str(progress.diverged),
        str(progress.failed),
        str(progress.epochs),
        percent(progress.best_validation_accuracy, 2),
        Text(progress.best_trial or MISSING),
        Text(progress.dataset),
    )
    return Group(heading, bar, table)
