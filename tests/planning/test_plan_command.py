"""The command that a plan ends with, read by the command line that it is for."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest

from cifar_ray.cli.job import submit
from cifar_ray.cli.main import main
from cifar_ray.planning.finished_sweep import FinishedSweep
from cifar_ray.planning.plan import Plan
from cifar_ray.planning.plan_command import plan_command
from cifar_ray.planning.planner import Request, make_plan
from cifar_ray.studies import Study, get_study
from cifar_ray.studies.options import SweepOptions


def make(study: Study, sweeps: list[FinishedSweep] | None = None, **asked: Any) -> Plan:
    asked = {"workers": [1], "num_seeds": 2, **asked}
    return make_plan(Request(study=study, **asked), sweeps or [], None, lambda done, num_all: None)


def options_of(command: str) -> SweepOptions:
    """As `job submit` understands them."""
    words = shlex.split(command)
    assert words[:3] == ["cifar-ray", "job", "submit"]
    # click keeps the help option of a command's first context
    parsed = submit.make_context("submit", words[3:], **main.context_settings).params
    return SweepOptions(**{name: parsed[name] for name in SweepOptions.__dataclass_fields__})


def one(study: Study, trials: int, factor: int, **asked: Any) -> Plan:
    """A plan of one set-up beside the full search, advised because it is the cheaper."""
    plan = make(study, trials=[trials], reduction_factors=[factor], epoch_s=10.0, **asked)
    return replace(plan, wish=replace(plan.wish, chance=0.0))


@pytest.mark.parametrize(
    ("name", "trials", "factor", "asked", "command"),
    [
        ("cnn", 30, 4, {}, "cnn"),
        ("cnn", 20, 8, {}, "cnn --trials 20 --reduction-factor 8"),
        ("cnn", 30, 4, {"no_cohort": True}, "cnn --no-cohort"),
        ("resnet", 10, 4, {"accelerator": "A100"}, "resnet --trials 10 --accelerator A100"),
        ("fast", 4, 4, {"accelerator": "CPU"}, "fast --trials 4 --accelerators-per-trial 0"),
        ("cnn", 30, 4, {"accelerator": "CPU", "no_cohort": True}, "cnn --accelerators-per-trial 0 --no-cohort"),
        ("cnn", 30, 4, {"accelerator": "CPU"}, "cnn"),
        ("cnn", 30, 4, {"seed": 7}, "cnn --seed 7"),
    ],
)
def test_it_names_what_differs_from_the_study(
    name: str, trials: int, factor: int, asked: dict[str, Any], command: str
) -> None:
    assert plan_command(one(get_study(name), trials, factor, **asked)) == f"cifar-ray job submit {command}"


def test_it_has_the_grace_period_that_was_planned() -> None:
    plan = one(get_study("cnn").with_budget(grace_period=3), 30, 4)
    assert plan_command(plan) == "cifar-ray job submit cnn --grace-period 3"
    assert options_of(plan_command(plan)).grace_period == 3


@pytest.mark.parametrize(
    ("name", "epochs", "searcher"),
    [("cnn", 8, "tpe"), ("resnet", None, None), ("fast", 3, None), ("cnn-depth", 4, None)],
)
@pytest.mark.parametrize("is_full", [True, False])
def test_it_makes_the_sweep_that_was_planned(name: str, epochs: int | None, searcher: Any, is_full: bool) -> None:
    study = get_study(name).with_budget(max_epochs=epochs).with_searcher(searcher)
    plan = one(study, 6, 3)
    if is_full:
        plan = replace(plan, forecasts=[plan.full])
    adapted = options_of(plan_command(plan)).adapt(get_study(name))
    budget = plan.advice.forecast.setup.budget(study.budget)
    assert adapted == replace(study, budget=budget)


def test_trials_get_the_share_of_a_node_that_they_had_in_the_sweep_whose_times_these_are(alone: FinishedSweep) -> None:
    for had, cpus, accelerators in (
        ((1.0, 0.0), None, 0),
        ((2.0, 0.0), 2.0, 0),
        ((1.0, 0.25), None, None),
        ((4.0, 0.25), 4.0, None),
        # as in full: a sixth that is rounded up fits five times
        ((1.0, 1 / 6), None, 1 / 6),
        ((2.0, 1.0), 2.0, 1.0),
    ):
        sweep = replace(alone.sweep, cpus_per_trial=had[0], accelerators_per_trial=had[1])
        timed_on = replace(alone, sweep=sweep)
        plan = make(get_study("cnn"), [timed_on], no_cohort=True, trials=[8], reduction_factors=[4])
        options = options_of(plan_command(plan))
        given = (options.no_cohort, options.cpus_per_trial, options.accelerators_per_trial)
        assert given == (True, cpus, accelerators)
