"""Writes the command that runs what a plan advises."""

from __future__ import annotations

import shlex

from cifar_ray.planning.plan import Plan
from cifar_ray.planning.worker_shape import worker_shape
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
    """The flags for a trial's cores or accelerators in the sweep whose times are used, if unusual.

    A trial that is to train on cores asks for no accelerator, which it would get on a cluster that has some.
    """
    shape = plan.shape
    if shape.is_cohort:
        return []
    on_cores = shape.unit == "core"
    words = ["--accelerators-per-trial", "0"] if on_cores else []
    if shape == worker_shape(plan.study, is_cohort=False, has_accelerators=not on_cores, timed_on=None):
        return words
    flag = "--cpus-per-trial" if on_cores else "--accelerators-per-trial"
    return [*words, flag, f"{shape.units / shape.places:g}"]
