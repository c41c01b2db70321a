"""From a request to a plan, its view and its figure."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from cifar_ray.errors import ConfigurationError, RecordError
from cifar_ray.planning import space_preview
from cifar_ray.planning.advice import Wish, advise
from cifar_ray.planning.curve_source import measured
from cifar_ray.planning.finished_sweep import FinishedSweep, read_finished
from cifar_ray.planning.forecast import Estimate, Forecast, Setup
from cifar_ray.planning.plan import Plan
from cifar_ray.planning.plan_figure import _footnote, plan_figure
from cifar_ray.planning.plan_view import plan_renderable
from cifar_ray.planning.planner import Request, _grid, make_plan
from cifar_ray.planning.worker_shape import worker_shape
from cifar_ray.prices import Prices
from cifar_ray.provenance import Interruption, Resumption
from cifar_ray.records import EpochMetrics, Outcome, TrialRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study, get_study
from cifar_ray.studies.study import MAX_TRIALS

PRICES = Prices(currency="USD", rates={("CPU", "on_demand"): 0.05, ("A100", "spot"): 1.5})


FEW: dict[str, Any] = {"workers": [1], "trials": [8], "reduction_factors": [4], "num_seeds": 1}


def make(
    study: str | Study, sweeps: Sequence[FinishedSweep] = (), *, prices: Prices | None = PRICES, **asked: Any
) -> Plan:
    study = get_study(study) if isinstance(study, str) else study
    request = Request(study=study, **{"num_seeds": 6, "workers": [1, 2], **asked})
    return make_plan(request, sweeps, prices, lambda done, num_all: None)


def shown(plan: Plan, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(plan_renderable(plan))
    return console.export_text()


@pytest.fixture(scope="module")
def by_cohort(cohort: FinishedSweep) -> Plan:
    return make("cnn", [cohort])


def test_a_plan_by_curves_shows_all_its_parts(by_cohort: Plan) -> None:
    text = shown(by_cohort)
    words = " ".join(text.split())
    for part in (
        "0.0001 to 0.01, log-uniform",
        "no two are the same",
        "all 576 can run",
        "epoch 16",
        "2 cores, up to 16 trials in one cohort",
        "check of the mechanics",
        "cohort sweeps of older versions took longer, as a rule",
        "USD",
        "the cheapest of these set-ups with a 90 % chance of a winner within 0.5 points of the full search's: 1 worker",
        "1 worker, 30 trials, none cut 44 min 03 s, 1.47 core-hours, 0.07 USD; winner 66.2 %: this is the full search",
        "the likeliest of those that cut trials: ",
        "more set-ups were simulated: the figure has some, the advice looks at all.",
    ):
        assert part in words
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize(("no_cohort", "alike"), [(False, "8.2"), (True, "9.7")])
def test_as_many_would_pass_as_are_judged_together(cohort: FinishedSweep, no_cohort: bool, alike: str) -> None:
    """Of 30 in a cohort of 16, or one by one: progress/asha.py's odds."""
    times = {"epoch_s": 60.0} if no_cohort else {}
    plan = make("cnn", [cohort], workers=[1], reduction_factors=[4], num_seeds=1, no_cohort=no_cohort, **times)
    (row,) = (line.split() for line in shown(plan).splitlines() if line.split()[:2] == ["epoch", "4"])
    assert row[-1] == alike


def test_more_workers_are_faster_and_more_trials_better(by_cohort: Plan) -> None:
    found = {each.setup: each for each in by_cohort.forecasts}
    for num_trials in by_cohort.grid.trials[1:]:
        one, two = (found[Setup(num_workers=workers, num_trials=num_trials, reduction_factor=4)] for workers in (1, 2))
        assert two.wall_s.mean < one.wall_s.mean
        assert two.utilisation.mean < one.utilisation.mean
    few, many = (found[Setup(num_workers=1, num_trials=each, reduction_factor=2)] for each in (15, 60))
    assert few.accuracy.mean < many.accuracy.mean
    assert few.hours.mean < many.hours.mean < by_cohort.full.hours.mean
    assert by_cohort.full.hours.mean == pytest.approx(2 * by_cohort.full.wall_s.mean / 3600), "of two cores"
    assert by_cohort.full.chance == 1
    assert by_cohort.full.reached[30].mean == 30


def test_the_full_search_is_advised_where_it_alone_is_what_was_asked_for(by_cohort: Plan) -> None:
    """By definition its winner is as good as its own, and it can be run."""
    cutting = [each for each in by_cohort.forecasts if each.setup.reduction_factor]
    assert max(each.chance for each in cutting) < 0.9
    assert (by_cohort.advice.forecast, by_cohort.advice.is_met) == (by_cohort.full, True)
    faster = replace(by_cohort, wish=Wish(deadline_s=0.8 * by_cohort.full.wall_s.mean))
    assert faster.advice.forecast.setup == replace(by_cohort.grid.full, num_workers=2)
    assert "2 workers, 30 trials, none cut" in " ".join(shown(faster).split())
    hurried = replace(by_cohort, wish=Wish(chance=0.9, deadline_s=by_cohort.base.wall_s.high))
    said = " ".join(shown(hurried).split())
    assert re.search("none of these set-ups within [^:]* s has a 90 % chance of a winner within 0.5 points", said)
    assert "within 0.5 points of the full search's with" in said
    assert "the full search: 44 min 03 s on 1 worker, 1.47 core-hours" in said
    in_a_hurry = replace(by_cohort, wish=Wish(deadline_s=min(each.wall_s.mean for each in by_cohort.forecasts)))
    said = " ".join(shown(in_a_hurry).split())
    assert re.search("none of these set-ups stays within [^:]* in 97.5 % of its simulations; the nearest: ", said)


def test_the_likeliest_of_those_that_cut_keeps_the_bounds_too(by_cohort: Plan) -> None:
    def advised(factor: float, *slower: Forecast) -> str:
        forecasts = [
            replace(each, wall_s=each.wall_s.times(factor)) if each in slower else each for each in by_cohort.forecasts
        ]
        bounded = replace(by_cohort, forecasts=forecasts, wish=Wish(chance=1.0, deadline_s=by_cohort.full.wall_s.high))
        assert bounded.advice.forecast.setup == by_cohort.full.setup
        return " ".join(shown(bounded).split()).partition("of those that cut trials: ")[2]

    likeliest = max(by_cohort.combinations, key=lambda each: (each.chance, -each.hours.mean))
    setup = likeliest.setup
    words = f"{setup.num_workers} worker, {setup.num_trials} trials, reduction factor {setup.reduction_factor}"
    assert not advised(100, likeliest).startswith(words)
    assert advised(1, likeliest).startswith(words)
    assert advised(100, *by_cohort.combinations) == ""


@pytest.mark.parametrize("width", [40, 50, 60])
def test_a_narrow_terminal_shows_fewer_columns_and_breaks_no_number(by_cohort: Plan, width: int) -> None:
    lines = [line.rstrip() for line in shown(by_cohort, width).splitlines()]
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    (row,) = (line.split() for line in lines if line.startswith("t0003"))
    assert row[:4] == ["t0003", "0.00011", "adam", "0.0013"]
    rows = {line.split()[1] for line in lines if re.match(r"epoch \d", line)}
    assert {each.rstrip(",") for each in rows} == {"1", "4", "16", "30"}
    base = by_cohort.base
    (row,) = (line.split() for line in lines if line.split()[:3] == ["1", "30", "4"])
    assert row[3] == f"{base.wall_s.mean / 60:.1f}"
    assert f"({base.wall_s.low / 60:.1f}–{base.wall_s.high / 60:.1f})" in " ".join(lines).split()


@pytest.mark.parametrize("name", ["fast", "cnn-depth"])
def test_a_study_that_cuts_nothing_has_no_reduction_factors(name: str) -> None:
    plan = make(name, reduction_factors=[2, 8], epoch_s=10.0)
    own = get_study(name).budget.num_trials
    assert [(each.setup.num_trials, each.setup.num_workers) for each in plan.forecasts] == [
        (trials, workers) for trials in (own // 2, own, 2 * own) for workers in (1, 2)
    ]
    assert plan.base is plan.full
    said = " ".join(shown(plan).split())
    assert "a reduction factor would change nothing" in said
    assert "fac-" not in said, "a column of them"
    assert plan_figure(plan).startswith(b"\x89PNG")


def test_seeds_make_the_intervals(by_cohort: Plan) -> None:
    wall = by_cohort.base.wall_s
    assert wall.low < wall.mean < wall.high


def test_a_model_is_said_to_be_one() -> None:
    plan = make("resnet", workers=[2], trials=[10], reduction_factors=[4])
    text = shown(plan)
    assert "not a measurement" in text
    assert "ASSUMED: give --epoch-s" in " ".join(text.split())
    assert "Best of 30 trials of 30 epochs, each at its best one: 87.6 % (the report's)" in " ".join(text.split())
    assert plan.source.basis == "a model of curves, not a measurement; times by 60 s an epoch, assumed"
    assert plan.shape.unit == "accelerator"
    assert plan.replayed is None
    assert plan_figure(plan).startswith(b"\x89PNG")


def test_a_searcher_that_learns_is_planned_with_fewer_at_once() -> None:
    asked: dict[str, Any] = {"workers": [8], "trials": [16], "reduction_factors": [4], "epoch_s": 60.0}
    study = get_study("resnet").with_budget(num_trials=16)
    random, tpe = (make(study.with_searcher(each), **asked) for each in ("random", "tpe"))
    assert tpe.base.wall_s.mean > random.base.wall_s.mean
    assert tpe.base.utilisation.mean < 0.51, "four of eight workers"
    said = " ".join(shown(tpe).split())
    assert "how tpe chooses is not simulated: its trials, at most 4 of 16 at once" in said
    assert "the sweep can fill 4 workers" in said
    assert "of 16 that random search would sample, no two are the same" in said
    assert "is not simulated" not in shown(random)


def test_plans_count_finals() -> None:
    plan = make("fast", workers=[1], trials=[4], reduction_factors=[4], epoch_s=100.0)
    # four trials of three epochs, then two finalists on two seeds for eight
    assert plan.base.wall_s.mean == pytest.approx(100 * (4 * 3 + 2 * 2 * 8), rel=0.02)
    assert "with the finals: 4 trainings of 8 epochs" in " ".join(shown(plan).split())


def test_finals_after_cohorts_are_refused() -> None:
    study = get_study("cnn").with_seeds(3)
    with pytest.raises(ConfigurationError, match="finals train individually") as refused:
        make(study, **FEW)
    assert "--no-cohort" in str(refused.value.hint)
    plan = make(study, **FEW, no_cohort=True)
    assert "with the finals: 6 trainings" in " ".join(shown(plan).split())


def until(epoch: int, finished: FinishedSweep) -> FinishedSweep:
    """The sweep, as if no trial had trained longer."""
    return replace(
        finished,
        trials=[replace(each, num_epochs=min(each.num_epochs, epoch)) for each in finished.trials],
        metrics=[line for line in finished.metrics if line.epoch <= epoch],
    )


def test_a_sweep_of_which_no_trial_reached_the_end_is_planned_from_and_not_replayed(cohort: FinishedSweep) -> None:
    cut = until(16, cohort)
    for sweep, is_checked in ((cohort, True), (cut, False)):
        plan = make(get_study("cnn").with_budget(max_epochs=8), [sweep], **FEW)
        assert (plan.replayed is not None) == is_checked
        assert ("check of the mechanics" in shown(plan)) == is_checked


def test_the_figure_holds_every_number_of_workers_and_trials(by_cohort: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kw: (seen.append(self), save(self, *args, **kw))[1])
    plan_figure(by_cohort)
    upper, lower = seen[0].axes[:3], seen[0].axes[3:]
    assert [axes.get_title(loc="left") for axes in upper] == [
        "How long it takes",
        "What it costs",
        "How well the workers are used",
    ]
    assert all([list(line.get_xdata()) for line in axes.get_lines()] == [[1, 2]] * 3 for axes in upper)
    assert all(list(axes.get_lines()[0].get_xdata()) == [15, 30, 60] for axes in lower)


def test_spot_workers_are_lost_and_priced_as_such() -> None:
    asked: dict[str, Any] = {"epoch_s": 60.0, "accelerator": "A100", "trials": [20], "reduction_factors": [4]}
    calm = make("resnet", **asked)
    spot = make("resnet", **asked, is_spot=True, is_autoscaled=True, preemptions_per_hour=2.0)
    usual = make("resnet", **asked, is_spot=True)
    assert calm.grid.fleet.preemptions_per_hour == 0 < usual.grid.fleet.preemptions_per_hour
    assert calm.rate is None
    assert spot.rate is not None
    assert spot.rate.amount == 1.5
    assert spot.base.wall_s.mean > calm.base.wall_s.mean
    assert "taken away 2 times an hour" in " ".join(shown(spot).split())


@pytest.mark.parametrize(
    ("accelerator", "prices", "says"),
    [
        (None, None, "name a table of prices by CIFAR_RAY_PRICES (docs/cost.md), and an --accelerator that it has"),
        ("A100", None, "name a table of prices by CIFAR_RAY_PRICES (docs/cost.md) "),
        (None, PRICES, "name an --accelerator that your table of prices has"),
        ("A100", PRICES, "your table of prices has no A100.on_demand"),
    ],
)
def test_what_a_cost_lacks_is_said(accelerator: str | None, prices: Prices | None, says: str) -> None:
    plan = make("resnet", prices=prices, accelerator=accelerator, **FEW)
    assert f"no cost: {says}" in " ".join(shown(plan).split())


def test_curves_that_do_not_fit_are_refused(results: RunStore, alone: FinishedSweep, cohort: FinishedSweep) -> None:
    study = get_study("cnn")
    with pytest.raises(ConfigurationError, match="is of the study cnn"):
        read_finished(results, alone.sweep.sweep_id, get_study("resnet"))
    with pytest.raises(ConfigurationError, match="trained individually"):
        measured([alone], study, is_cohort=True, accelerator=None, epoch_s=None)
    with pytest.raises(ConfigurationError, match="timed on CPU, not on A100"):
        measured([cohort], study, is_cohort=True, accelerator="A100", epoch_s=None)
    with pytest.raises(ConfigurationError, match="end at epoch 30"):
        measured([cohort], study.with_budget(max_epochs=31), is_cohort=True, accelerator=None, epoch_s=None)
    # resumed on another type
    first, later = ({"cpus": "8", "accelerator_types": types} for types in ("A100", "T4"))
    resumption = Resumption(at=alone.sweep.started_at, commit=None, versions={}, hardware=later)
    mixed = replace(alone.sweep, accelerators_per_trial=0.5, hardware=first, resumptions=(resumption,))
    with pytest.raises(ConfigurationError, match="timed on A100, T4, not on A100"):
        measured([replace(alone, sweep=mixed)], study, is_cohort=False, accelerator="A100", epoch_s=None)
    other = replace(alone.sweep.dataset, fingerprint="0" * 64, name="shapes")
    with pytest.raises(ConfigurationError, match="different images"):
        measured(
            [cohort, replace(alone, sweep=replace(alone.sweep, dataset=other))],
            study,
            is_cohort=True,
            accelerator=None,
            epoch_s=None,
        )
    # seconds that are given stand in for those that were not measured
    given = measured([cohort, alone], study, is_cohort=True, accelerator="A100", epoch_s=2.0)
    assert len(given.bank.originals()) == 60
    assert given.timing.pass_s(16) == pytest.approx(2.0 * (0.91 + 16 * 0.28))


def test_times_are_those_of_the_planned_accelerator_in_whatever_order(cohort: FinishedSweep) -> None:
    hardware = {"cpus": "8", "accelerator_types": "A100"}
    faster = replace(cohort, sweep=replace(cohort.sweep, accelerators_per_trial=1.0, hardware=hardware))
    for sweeps in ([cohort, faster], [faster, cohort]):
        for accelerator, expected in (("CPU", cohort), ("A100", faster), (None, sweeps[0])):
            found = measured(sweeps, get_study("cnn"), is_cohort=True, accelerator=accelerator, epoch_s=None)
            assert found.timed_on is expected


def test_the_best_of_another_sweep_are_refused(runs: RunStore, cohort: FinishedSweep) -> None:
    runs.create_sweep(replace(cohort.sweep, sweep_id="cnn-best", best_of=cohort.sweep.sweep_id))
    with pytest.raises(ConfigurationError, match="not of what the study draws"):
        read_finished(runs, "cnn-best", get_study("cnn"))


def test_a_population_is_refused(runs: RunStore, cohort: FinishedSweep) -> None:
    runs.create_sweep(replace(cohort.sweep, searcher="pbt"))
    with pytest.raises(ConfigurationError, match="whose trials do not start from scratch"):
        read_finished(runs, cohort.sweep.sweep_id, get_study("cnn"))


def test_a_sweep_without_an_end_or_an_epoch_is_refused(runs: RunStore, cohort: FinishedSweep) -> None:
    study, sweep = get_study("cnn"), cohort.sweep
    runs.create_sweep(sweep)
    with pytest.raises(ConfigurationError, match="has not finished"):
        read_finished(runs, sweep.sweep_id, study)
    runs.write_result(cohort.result)
    with pytest.raises(ConfigurationError, match="finished an epoch"):
        read_finished(runs, sweep.sweep_id, study)
    runs.write_metrics(sweep.sweep_id, cohort.metrics)
    for trial in cohort.trials:
        runs.write_trial(sweep.sweep_id, trial)
    assert len(read_finished(runs, sweep.sweep_id, study).curves()) == 30


def test_failed_trials_have_no_curve_and_diverged_ones_end_where_they_did(cohort: FinishedSweep) -> None:
    def ended(trial: TrialRecord) -> TrialRecord:
        outcomes: dict[str, Outcome] = {"t0000": "failed", "t0003": "diverged"}
        return replace(trial, outcome=outcomes.get(trial.trial_id, trial.outcome))

    curves = replace(cohort, trials=[ended(each) for each in cohort.trials]).curves()
    assert len(curves) == 29
    # t0003 was stopped after one epoch
    (diverged,) = [each for each in curves if each.has_diverged]
    assert diverged.accuracies == pytest.approx([0.3734])


@pytest.mark.parametrize("num_lines", [1, -1])
def test_metrics_that_were_cut_at_the_end_of_a_line_are_refused(alone: FinishedSweep, num_lines: int) -> None:
    with pytest.raises(RecordError, match=r"f23b/metrics\.jsonl: not each epoch of t\d+ once, from 1 to \d+\n"):
        replace(alone, metrics=alone.metrics[:num_lines]).curves()


def test_what_comes_once_is_no_part_of_a_trials_pace(alone: FinishedSweep) -> None:
    """A first epoch waits for compilation, where later ones are short; one that is the shortest stays."""

    def as_compiled(line: EpochMetrics) -> EpochMetrics:
        return replace(line, seconds=17.6 if line.epoch == 1 and line.trial_id != "t0000" else float(line.epoch % 3))

    compiled = replace(alone, metrics=[as_compiled(each) for each in alone.metrics]).curves()
    assert {len(each.accuracies) for each in compiled} >= {1, 30}
    for each, trial in zip(compiled, alone.trials, strict=True):
        num = len(each.accuracies)
        later = [float(epoch % 3) for epoch in range(2, num + 1)]
        first = 1.0 if trial.trial_id == "t0000" else 2.0
        assert each.epoch_s == pytest.approx((first + sum(later)) / num)
    # nothing to compare with
    short = until(1, alone)
    assert {each.epoch_s for each in short.curves()} == {each.seconds for each in short.metrics}


def test_times_are_of_one_machine_whatever_the_others_were(alone: FinishedSweep) -> None:
    slow = replace(
        alone,
        sweep=replace(alone.sweep, sweep_id="cnn-slow", accelerators_per_trial=0.25),
        metrics=[replace(each, seconds=10 * each.seconds) for each in alone.metrics],
    )
    source = measured([alone, slow], get_study("cnn"), is_cohort=False, accelerator=None, epoch_s=None)
    curves = source.bank.originals()
    own, others = curves[:30], curves[30:]
    assert [each.epoch_s for each in own] == pytest.approx([each.epoch_s for each in alone.curves()])
    assert [each.epoch_s for each in others] == pytest.approx([each.epoch_s for each in own])
    assert source.basis == f"curves of {alone.sweep.sweep_id} and 1 more; times of {alone.sweep.sweep_id}"


def test_a_plan_without_times_is_for_what_the_curves_were_trained_on(cohort: FinishedSweep) -> None:
    plan = make("cnn", [cohort], no_cohort=True, epoch_s=11.1, trials=[8], reduction_factors=[4])
    assert (plan.device, plan.shape.unit) == ("CPU", "core")
    assert plan.source.basis == f"curves of {cohort.sweep.sweep_id}; times by 11.1 s an epoch, as given"
    assert plan.source.basis in _footnote(plan), "the figure says so"


def test_a_cohorts_assumed_times_are_said_to_be_those_of_two_cores(cohort: FinishedSweep) -> None:
    for sweeps, asked in (([], {}), ([cohort], {"epoch_s": 5.6})):
        said = " ".join(shown(make("cnn", sweeps, **FEW, **asked)).split())
        assert "A pass of a cohort of n takes 0.91 + 0.28 n times as long, its set-up 5 s (ASSUMED" in said
        assert "caution: cohorts are timed as on 2 CPU cores" in said
    for plan in (make("cnn", [cohort], **FEW), make("cnn", no_cohort=True, **FEW)):
        assert "cores, whatever" not in " ".join(shown(plan).split())


def test_curves_of_a_studys_former_form_are_told_by_their_settings(
    speed_runs: FinishedSweep, speed_runs_today: FinishedSweep, alone: FinishedSweep
) -> None:
    def cautions(sweep: FinishedSweep) -> str:
        study = get_study(sweep.sweep.study)
        return " ".join(measured([sweep], study, is_cohort=False, accelerator=None, epoch_s=None).cautions)

    former = cautions(speed_runs)
    assert f"{speed_runs.sweep.sweep_id} is of a former form of the study" in former
    for change in ("cutout 0 (today 10)", "block_depth 2 (today 3)", "widening 1.0 (today 1.25)"):
        assert change in former
    assert "learning_rate" not in former
    assert cautions(speed_runs_today) == ""
    assert "former form" not in cautions(alone)


def test_curves_of_another_definition_of_an_own_study_are_told(alone: FinishedSweep) -> None:
    own = replace(alone, sweep=replace(alone.sweep, definition="…"))
    for sweep, definition, is_told in ((own, "…", False), (own, ".", True), (alone, "…", True)):
        study = replace(get_study("cnn"), definition=definition)
        source = measured([sweep], study, is_cohort=False, accelerator=None, epoch_s=None)
        assert any("began with another definition" in each for each in source.cautions) == is_told


def test_curves_that_a_searcher_chose_are_told(alone: FinishedSweep) -> None:
    chosen = replace(alone, sweep=replace(alone.sweep, searcher="tpe"))
    for sweep, searcher, is_told in ((chosen, "random", True), (chosen, "tpe", False), (alone, "tpe", False)):
        study = get_study("cnn").with_searcher(searcher)  # type: ignore[arg-type]
        source = measured([sweep], study, is_cohort=False, accelerator=None, epoch_s=None)
        assert any("were chosen by tpe" in each for each in source.cautions) == is_told


@pytest.mark.parametrize(("planned", "other"), [(5, 12), (12, 5)])
def test_learning_rates_that_come_down_over_other_epochs_are_told(
    deep: FinishedSweep, deep_short: FinishedSweep, planned: int, other: int
) -> None:
    study = get_study("cnn-depth").with_budget(max_epochs=planned)
    source = measured([deep, deep_short], study, is_cohort=False, accelerator=None, epoch_s=None)
    assert any(f"come down over {other} epochs, the plan's over {planned}:" in each for each in source.cautions)


def test_a_preview_says_how_many_it_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "of 30 sampled, no two are the same" in " ".join(shown(make("cnn", **FEW)).split())
    monkeypatch.setattr(space_preview, "MAX_COMPARED", 20)
    assert "of 30 sampled, the first 20 compared: no two are" in " ".join(shown(make("cnn", **FEW)).split())


def test_curves_that_end_with_a_shorter_sweep_are_not_told_as_cut(
    deep: FinishedSweep, deep_short: FinishedSweep
) -> None:
    study = get_study("cnn-depth").with_budget(max_epochs=12)
    num_cut = sum(trial.outcome == "stopped" for trial in deep.trials)
    for sweeps, says in (
        ([deep, deep_short], f"ASHA cut {num_cut} of them off and 16 ended with a shorter sweep before epoch 12: they"),
        ([deep], f"ASHA cut {num_cut} of them off before epoch 12: they"),
    ):
        assert says in measured(sweeps, study, is_cohort=False, accelerator=None, epoch_s=None).statement


def test_curves_most_of_which_asha_cut_are_told(results: RunStore, alone: FinishedSweep) -> None:
    """They go on as those that it kept did, so that a plan takes its decisions for right."""
    uncut = read_finished(results, "cnn-20261126-151517-035ef72f", get_study("cnn"))
    num_cut = sum(trial.outcome == "stopped" for trial in alone.trials)
    lost = replace(alone, trials=[replace(each, outcome="diverged") for each in alone.trials[:2]] + alone.trials[2:])
    for sweeps, says in (
        ([alone], f"ASHA cut {num_cut} of the 30 curves, and "),
        ([lost], " of the 28 curves, and "),
        ([uncut], ""),
        ([uncut, alone], ""),
    ):
        source = measured(sweeps, get_study("cnn"), is_cohort=False, accelerator=None, epoch_s=10.0)
        told = " ".join(each for each in source.cautions if "may be far too high" in each)
        assert says in told
        assert bool(told) == bool(says)
        assert not says or "(--grace-period 30)" in told


def test_more_trials_than_curves_are_told(alone: FinishedSweep) -> None:
    for trials, is_told in (([15, 30], False), ([15, 31], True)):
        said = " ".join(shown(make("cnn", [alone], no_cohort=True, **FEW | {"trials": trials})).split())
        assert ("only 30 curves: more trials repeat them" in said) == is_told


def test_an_interrupted_sweep_is_no_check_of_the_mechanics(alone: FinishedSweep) -> None:
    interruption = Interruption(at="2026-11-23T14:30:00+00:00", why="the node went away")
    interrupted = replace(alone, sweep=replace(alone.sweep, interruptions=(interruption,)))
    for sweep, is_calm in ((alone, True), (interrupted, False)):
        said = " ".join(shown(make("cnn", [sweep], no_cohort=True, **FEW)).split())
        assert ("check of the mechanics" in said) == is_calm
        assert ("was interrupted and resumed" in said) != is_calm


@pytest.mark.parametrize(("no_cohort", "says"), [(True, "go after a minute idle"), (False, "stay to the end")])
def test_when_an_autoscalers_workers_go_is_said(no_cohort: bool, says: str) -> None:
    plan = make("cnn", is_autoscaled=True, no_cohort=no_cohort, **FEW)
    assert f"workers come when trials wait and {says}" in " ".join(shown(plan).split())


def forecast(hours: float, chance: float, wall_s: float = 100.0) -> Forecast:
    return Forecast(
        setup=Setup(num_workers=1, num_trials=int(100 * hours), reduction_factor=4),
        num_seeds=100,
        wall_s=Estimate.of([wall_s]),
        hours=Estimate.of([hours]),
        utilisation=Estimate.of([1.0]),
        accuracy=Estimate.of([chance]),
        num_close=round(100 * chance),
        driver=Estimate.of([0.1]),
        reached={},
    )


@pytest.mark.parametrize(
    ("wish", "hours", "is_met"),
    [
        (Wish(), 2.0, True),
        (Wish(chance=0.5), 1.0, True),
        (Wish(chance=0.99), 3.0, False),
        (Wish(budget=12.0), 1.0, True),
        (Wish(budget=5.0), 1.0, False),
        (Wish(deadline_s=150.0), 2.0, True),
        (Wish(deadline_s=150.0, budget=10.0), 1.0, True),
        (Wish(chance=0.9, budget=12.0), 1.0, False),
    ],
)
def test_the_advice_is_the_cheapest_or_the_best_that_fits(wish: Wish, hours: float, is_met: bool) -> None:
    choices = [forecast(1.0, 0.6), forecast(2.0, 0.92), forecast(3.0, 0.97, wall_s=200.0)]
    # an hour costs ten
    advice = advise(choices, wish, lambda hours: 10 * hours)
    assert (advice.forecast.hours.mean, advice.is_met) == (hours, is_met)


def test_bounds_are_kept_by_nearly_all_seeds_not_by_their_mean() -> None:
    near, far = forecast(1.0, 0.9), forecast(1.0, 0.95)
    far = replace(far, hours=Estimate(mean=1.0, low=0.9, high=2.0), wall_s=Estimate(mean=100.0, low=90.0, high=200.0))
    for wish in (Wish(budget=15.0), Wish(deadline_s=150.0)):
        assert advise([near, far], wish, lambda hours: 10 * hours).forecast is near


@pytest.mark.parametrize("wish", [Wish(), Wish(chance=0.99), Wish(budget=100.0)])
def test_of_those_that_are_as_likely_to_win_the_cheapest_is_advised(wish: Wish) -> None:
    slow, fast = forecast(1.0, 0.95, wall_s=500.0), forecast(2.0, 0.95, wall_s=100.0)
    assert advise([fast, slow], wish, float).forecast is slow


def test_within_a_budget_accuracy_decides_between_equal_chances() -> None:
    cheap, dear = forecast(1.0, 0.95), forecast(2.0, 0.95)
    better = replace(dear, accuracy=Estimate.of([0.99]))
    assert advise([cheap, better], Wish(budget=100.0), float).forecast is better


def test_too_many_set_ups_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="too many"):
        make("cnn", trials=list(range(2, 22)), workers=list(range(1, 21)))


def test_twice_a_large_studys_trials_are_no_more_than_a_sweep_may_have() -> None:
    study = get_study("resnet").with_budget(num_trials=60_000)
    shape = worker_shape(study, is_cohort=False, has_accelerators=True, timed_on=None)
    assert _grid(Request(study=study), shape).trials == [30_000, 60_000, MAX_TRIALS]


def test_many_workers_are_simulated_less_often() -> None:
    """Each simulation makes them all."""
    study = get_study("resnet")
    shape = worker_shape(study, is_cohort=False, has_accelerators=True, timed_on=None)
    grids = [_grid(Request(study=study, workers=workers), shape) for workers in ([1, 2, 4, 8], [10_000], [100_000])]
    assert [grid.num_seeds for grid in grids] == [50, 4, 1]
