"""Writes the command that runs what a plan advises."""

from __future__ import annotations

import shlex

from cifar_ray.planning.plan import Plan
from cifar_ray.studies import as_defined


def plan_command(plan: Plan) -> str:
    """`cifar-ray job submit`, with the options that differ from the study's own.

    The number of workers, how they start and their market belong to the cluster: no option of a job sets them.
    """
    own, planned = as_defined(plan.study), plan.study
    setup = plan.advice.forecast.setup
    budget = setup.budget(plan.grid.budget)
    # --max-epochs sets the epochs of the finals, too
    has_own_epochs = (planned.budget.max_epochs, planned.final_epochs) == (own.budget.max_epochs, own.final_epochs)
    # a population's own budget may allow fewer epochs than the plan has
    usual = own.with_searcher(planned.searcher).with_budget(max_epochs=budget.max_epochs).budget
    words = [
        *_option("--trials", budget.num_trials, own.budget.num_trials),
        *_option("--max-epochs", budget.max_epochs, budget.max_epochs if has_own_epochs else None),
        *_option("--grace-period", budget.grace_period, usual.grace_period),
        *_option("--reduction-factor", budget.reduction_factor, own.budget.reduction_factor),
        *_option("--searcher", planned.searcher, own.searcher),
        *_option("--seed", plan.seed, 0),
        *_option("--accelerator", plan.accelerator_asked, None),
        *_share(plan),
    ]
    if planned.is_cohort and not plan.shape.is_cohort:
        words.append("--no-cohort")
    return shlex.join(["cifar-ray", "job", "submit", own.name, *words])


def _option(flag: str, value: object, usual: object) -> list[str]:
    return [] if value in (usual, None) else [flag, str(value)]


def _share(plan: Plan) -> list[str]:
    """The flags for a trial's cores and accelerators in the sweep whose times are used, if unusual.

    A trial that is to train on cores asks for no accelerator, which it would get on a cluster that has some.
    """
    shape, timed_on = plan.shape, plan.source.timed_on
    if shape.is_cohort:
        return []
    if shape.unit == "core":
        return ["--accelerators-per-trial", "0", *_option("--cpus-per-trial", _amount(shape.units), "1")]
    if timed_on is None or not timed_on.sweep.accelerators_per_trial:
        return []
    cpus, accelerators = timed_on.sweep.cpus_per_trial, timed_on.sweep.accelerators_per_trial
    usual = _amount(plan.study.accelerators_per_trial)
    return [
        *_option("--cpus-per-trial", _amount(cpus), "1"),
        *_option("--accelerators-per-trial", _amount(accelerators), usual),
    ]


def _amount(number: float) -> str:
    """In full: a share that is rounded up fits an accelerator less often."""
    return repr(float(number)).removesuffix(".0")
