"""What the command line shows of sweeps and scores, as rich renderables that fit 40 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Column
from rich.text import Text

from cifar_ray.errors import plain
from cifar_ray.finals import Finals, describe
from cifar_ray.progress.ranking import best_first
from cifar_ray.provenance import now, seconds_between
from cifar_ray.records import TestScores, TrialRecord
from cifar_ray.reporting.finals_rows import HEADING, NOTE, finals_rows
from cifar_ray.reporting.fitting_table import FittingTable, narrow_table
from cifar_ray.reporting.formats import (
    MISSING,
    caution,
    chosen_by,
    cost_text,
    data_name,
    interval_text,
    outcome_name,
    percent,
    population_text,
    seconds,
    setting,
    value_text,
    with_defaults,
)
from cifar_ray.reporting.score_rows import SETTINGS, report_note, score_columns
from cifar_ray.storage.runs import SweepSummary
from cifar_ray.studies import Choice, Study
from cifar_ray.studies.space import Domain
from cifar_ray.studies.trial_config import DESCRIPTIONS
from cifar_ray.wording import counted

SHORT = {name: described.short for name, described in DESCRIPTIONS.items() if described.short}
"""What narrow columns call settings whose label is too long for their heading."""


def scores_renderable(scores: Sequence[TestScores]) -> RenderableType:
    """The test table beside the report's columns, with the data set's caution below."""
    labels, columns = score_columns(scores)
    table = narrow_table()
    table.title, table.title_justify = "Test scores (accuracies in %)", "left"
    table.add_column("")
    for column in columns:
        table.add_column(Text(column.heading), justify="right")
    for label in labels:
        style = "bold" if label == "accuracy" else None
        table.add_row(Text(label), *(Text(column.cells.get(label, MISSING)) for column in columns), style=style)
    cautions = dict.fromkeys(f"{each.study}: {text}" for each in scores if (text := caution(each.dataset, each.study)))
    remarks = [f"{each.study}: {remark}" for each in scores for remark in each.remarks]
    below = [verbatim(text, "yellow") for text in (*cautions, *remarks)]
    if note := report_note(scores):
        below.append(verbatim(note, "dim"))
    fitting = FittingTable(table, 2, "a wider terminal or the sweep's report/table.md")
    return Group(fitting, *below)


def sweeps_renderable(summaries: Sequence[SweepSummary]) -> RenderableType:
    """All sweeps: each id, below it study, seed, data and any sweep whose best it trains; and how far it has got."""
    # an id is there to be copied: it stays on one line
    table = narrow_table(Column("sweep", overflow="fold"), "state", numbers=("trials", "val. %", "test %"))
    table.add_column("started\n(UTC)", no_wrap=True)
    for summary in summaries:
        sweep = summary.sweep
        origin = f", {chosen_by(sweep)}" if sweep.best_of else ""
        silence = _silence(summary)
        below = f"{plain(sweep.study)}, seed {sweep.seed}, data: {data_name(sweep.dataset)}{origin}"
        table.add_row(
            verbatim(sweep.sweep_id, "bold").append(f"\n{below}", style="not bold dim"),
            Text(summary.state).append(f"\nsilent for\n{silence}" if silence else "", style="yellow"),
            str(sweep.num_trials),
            percent(summary.result.validation_accuracy if summary.result else None, 2),
            percent(summary.scores.accuracy if summary.scores else None, 2),
            Text(f"{plain(sweep.started_at[:10])}\n{plain(sweep.started_at[11:16])}"),
        )
    return FittingTable(table, 1, "a wider terminal or `cifar-ray results list --json`")


def state_text(summary: SweepSummary, options: str = "") -> str:
    """The state of a sweep: its winner, or what to do next; `options` are those that name its store."""
    sweep, result = summary.sweep, summary.result
    go_on = plain(f"cifar-ray job submit {sweep.study} --sweep-id {sweep.sweep_id} --resume{options}")
    if sweep.parent:
        return plain(f"the finals of {sweep.parent}: they are resumed and scored with it")
    if silence := _silence(summary):
        return f"its driver has been silent for {silence} by its clock; if it is gone, resume with: {go_on}"
    if summary.state == "running":
        return f"running: a driver holds its lease; if that driver is gone, resume with: {go_on}"
    if result is None:
        return f"interrupted; resume with: {go_on}"
    if result.winner is None:
        return "finished without a winner: no trial has an epoch that can be scored"
    chosen = (result.finals.winner if result.finals else None) or result.winner
    winner = f"winner {chosen.trial_id}: validation {percent(result.validation_accuracy, 2)} %"
    if (scores := summary.scores) is None:
        return plain(f"{winner}; not evaluated yet: cifar-ray job submit evaluate {sweep.sweep_id}{options}")
    test = f"{percent(scores.accuracy, 2)} % ({interval_text(scores.accuracy_interval)})"
    return plain(f"{winner}, test {test} on {data_name(scores.dataset)}")


def _silence(summary: SweepSummary) -> str | None:
    """For how long its driver has been silent; None where it is not."""
    since = summary.silent_since
    return None if since is None else seconds(seconds_between(since, now()))


def trials_renderable(summary: SweepSummary, trials: Sequence[TrialRecord]) -> RenderableType:
    """A sweep's trials, best first, with the settings in which they differ, and what they cost."""
    sweep, cost = summary.sweep, summary.result.cost if summary.result else None
    trials = with_defaults(trials)
    ranked = best_first(trials)
    used = [name for name in SETTINGS if len({str(trial.config.get(name)) for trial in trials}) > 1]
    has_heirs = any(trial.parent for trial in trials)
    ids = [Column(name, overflow="fold") for name in ("trial", *["parent"] * has_heirs)]
    table = narrow_table(*ids, Column("outcome", no_wrap=True), numbers=("val. %", "epoch"))
    num_kept = len(table.columns)
    for name in used:
        table.add_column(SHORT.get(name, SETTINGS[name]), justify="right")
    for trial in ranked:
        table.add_row(
            verbatim(trial.trial_id),
            *([verbatim(trial.parent or MISSING)] if has_heirs else []),
            outcome_name(trial, summary.state),
            percent(trial.best_validation_accuracy, 2),
            f"{MISSING if trial.best_epoch is None else trial.best_epoch}/{trial.num_epochs}",
            *(Text(setting(name, trial.config, digits=2)) for name in used),
        )
    heading = (
        f"{sweep.sweep_id}: study {sweep.study}, data: {data_name(sweep.dataset)}, seed {sweep.seed}, "
        f"searcher: {chosen_by(sweep)}"
    )
    failures = [verbatim(f"{trial.trial_id} failed: {trial.error}", "red") for trial in ranked if trial.error]
    legend = Text("epoch: of the best validation accuracy / of all that the trial trained", style="dim")
    costs = [verbatim(f"cost: {cost_text(cost)}")] if cost else []
    fitting = FittingTable(table, num_kept, "a wider terminal or `cifar-ray results export`")
    return Group(verbatim(heading, "bold"), fitting, legend, *costs, *failures)


def finals_renderable(finals: Finals) -> RenderableType:
    """The finalists, the chosen one first, with the accuracies that they had in the sweep."""
    table = narrow_table(HEADING[0])
    for name in HEADING[1:]:
        table.add_column(name, justify="right")
    for row in finals_rows(finals):
        table.add_row(*map(verbatim, row))
    fitting = FittingTable(table, 1, "a wider terminal or `cifar-ray results show --json`")
    return Group(verbatim(describe(finals), "bold"), fitting, Text(NOTE, style="dim"))


def studies_renderable(studies: Sequence[Study]) -> RenderableType:
    """The studies, a row each."""
    table = narrow_table("study", "what", numbers=("trials", "epochs", "report: test %"))
    for study in studies:
        published = f"{100 * study.published.test_accuracy:.4g}" if study.published else MISSING
        budget = study.budget
        table.add_row(
            verbatim(study.name), verbatim(study.title), str(budget.num_trials), str(budget.max_epochs), published
        )
    return FittingTable(table, 2, "a wider terminal or `cifar-ray study show`")


def study_renderable(study: Study) -> RenderableType:
    """A study's space, fixed settings and budget, with what the report found if it has the study.

    Settings, and words among their values, have the names that `job submit --setting` takes, where it takes them.
    """
    published = study.published
    table = narrow_table("setting", "values", *["report's winner"] * (published is not None))
    rows = {name: _domain_text(domain) for name, domain in study.space.items()}
    rows |= {name: f"always {_as_set(value)}" for name, value in study.fixed.items()}
    for name, values in rows.items():
        table.add_row(name, verbatim(values), *([setting(name, published.winner)] if published else []))
    lines = [
        f"{study.name}: {study.title} (jobs/{' '.join(study.job)})",
        f"{_trials_text(study)}; searcher: {study.searcher}; accelerators per trial: {study.accelerators_per_trial:g}",
    ]
    if study.finalists:
        length = f", {counted(study.final_epochs, 'epoch')}" if study.final_epochs else ""
        lines.append(f"finals: the best {study.finalists} retrained on {counted(study.seeds, 'seed')} each{length}")
    if published:
        lines.append(
            f"report: validation {percent(published.validation_accuracy)} %, test {100 * published.test_accuracy:.4g} %"
        )
    return Group(*(verbatim(line) for line in lines), Text(), table)


def _trials_text(study: Study) -> str:
    """How many trials it has, how long they may train and what cuts them."""
    budget = study.trial_budget
    trials = counted(budget.num_trials, "trial")
    if study.searcher == "pbt":
        return f"{trials}; {population_text(budget)}"
    asha = f"ASHA: grace period {budget.grace_period}, reduction factor {budget.reduction_factor}"
    how = asha if budget.grace_period < budget.max_epochs else "none is stopped early"
    return f"{trials} of at most {counted(budget.max_epochs, 'epoch')}; {how}"


def _domain_text(domain: Domain) -> str:
    return " or ".join(map(_as_set, domain.values)) if isinstance(domain, Choice) else str(domain)


def _as_set(value: object) -> str:
    return value if isinstance(value, str) else value_text(value, digits=12)


def verbatim(text: str, style: str = "") -> Text:
    """Text that is shown as it is: rich's markup and terminal escapes in it have no effect."""
    return Text(plain(text), style=style)
