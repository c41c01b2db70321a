"""Runs a sweep's finals: its best configurations retrained on several seeds, to choose among them by the mean.

They are a sweep of their own in the sweep's folder, in which no trial is stopped early; Ray Tune, records, checkpoints,
retries and resuming work the same. The sweep has its result once they have theirs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from cifar_ray.capacity import Placement
from cifar_ray.finals import Finalist, Finals, Retraining, rank_finalists
from cifar_ray.provenance import now
from cifar_ray.records import SweepRecord, SweepResult, TrialRecord
from cifar_ray.resource_use import Cost
from cifar_ray.storage import layout
from cifar_ray.storage.retention import remove_keys, surplus
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig
from cifar_ray.studies.options import Keep
from cifar_ray.tuning.ledger import summarise_sweep
from cifar_ray.tuning.sweep import SweepPlan, run_trials
from cifar_ray.wording import counted

SEEDS = range(1_000, 1_000_000)
"""Far from those that the package's studies search."""


def run_with_finals(plan: SweepPlan, runs: RunStore, say: Callable[[str], None]) -> SweepResult:
    """Run or resume a sweep and then its finals, if it has any; stores and returns its result.

    The finals' record names the finalists: once it is written the search itself is over, and a driver that resumes
    leaves its trials alone. Raises what `run_trials` raises.
    """
    result = run_trials(plan, runs, say) if plan.finals is None else _run_both(plan, plan.finals, runs, say)
    runs.write_result(result)
    keep_chosen(plan.keep, runs, plan.sweep.sweep_id)
    return result


def keep_chosen(keep: Keep, runs: RunStore, sweep_id: str) -> None:
    """Remove the checkpoints of a finished sweep that are not to be kept."""
    if keep == "winner":
        remove_keys(runs, surplus(runs, sweep_id))


def _run_both(plan: SweepPlan, placement: Placement, runs: RunStore, say: Callable[[str], None]) -> SweepResult:
    sweep_id, nested = plan.sweep.sweep_id, runs.finals(plan.sweep.sweep_id)
    if nested.has_sweep(layout.finals(sweep_id)):
        record = nested.sweep(layout.finals(sweep_id))
    else:
        searched = run_trials(plan, runs, say)
        record = _finals_record(plan.sweep, searched, placement)
        nested.create_sweep(record)
    trials = {trial.trial_id: trial for trial in runs.trials(sweep_id)}
    if record.finalists:
        seeds = counted(record.num_seeds, "seed")
        say(f"finals of {sweep_id}: {', '.join(record.finalists)}, each retrained on {seeds}")
        if nested.result(record.sweep_id) is None:
            nested.write_result(run_trials(_finals_plan(plan, placement, record, trials), nested, say))
    return _with_finals(plan, runs, record, trials)


def finals_seeds(sweep: SweepRecord) -> list[int]:
    """The same for every finalist, so that all share the same luck.

    With `best_of`, drawn anew: the configurations were chosen by those of that sweep's finals.
    """
    names = ["finals", sweep.study, str(sweep.seed), *([sweep.best_of] if sweep.best_of else [])]
    return random.Random(":".join(names)).sample(SEEDS, sweep.num_seeds)


def finals_configs(record: SweepRecord, trials: Mapping[str, TrialRecord]) -> list[TrialConfig]:
    """The configurations of the finals' trials, in order: each finalist with one seed after the other."""
    return [
        replace(TrialConfig.from_dict(trials[trial_id].config), seed=seed, max_epochs=record.max_epochs)
        for trial_id in record.finalists
        for seed in finals_seeds(record)
    ]


def rank_retrained(record: SweepRecord, trials: Mapping[str, TrialRecord], retrained: list[TrialRecord]) -> Finals:
    """The ranked finals, from the sweep's trials by id and the finals' trials in order."""
    num_seeds = record.num_seeds
    groups = [retrained[start : start + num_seeds] for start in range(0, len(retrained), num_seeds)]
    return Finals(
        finalists=rank_finalists(
            Finalist(
                trial_id=trial_id,
                searched_accuracy=trials[trial_id].best_validation_accuracy or 0.0,
                retrainings=tuple(map(_retraining, group)),
                has_other_epochs=_has_other_epochs(trials[trial_id], record),
            )
            for trial_id, group in zip(record.finalists, groups, strict=True)
        ),
        num_epochs=sum(trial.num_epochs for trial in retrained),
        accelerator_seconds=sum(trial.accelerator_seconds for trial in retrained),
    )


def _has_other_epochs(searched: TrialRecord, record: SweepRecord) -> bool:
    return searched.outcome != "completed" or searched.config["max_epochs"] != record.max_epochs


def _retraining(trial: TrialRecord) -> Retraining:
    return Retraining(
        trial_id=trial.trial_id,
        seed=trial.config["seed"],
        outcome=trial.outcome,
        best_epoch=trial.best_epoch,
        best_validation_accuracy=trial.best_validation_accuracy,
    )


def _finals_record(sweep: SweepRecord, searched: SweepResult, placement: Placement) -> SweepRecord:
    finalists = searched.ranking[: sweep.num_finalists]
    return replace(
        sweep,
        sweep_id=layout.finals(sweep.sweep_id),
        parent=sweep.sweep_id,
        finalists=finalists,
        num_trials=len(finalists) * sweep.num_seeds,
        max_epochs=sweep.epochs_of_finals,
        # ASHA's only rung is the last epoch: no trial is stopped early
        grace_period=sweep.epochs_of_finals,
        is_cohort=False,
        accelerators_per_trial=placement.accelerators,
        cpus_per_trial=placement.cpus,
        started_at=now(),
    )


def _finals_plan(
    plan: SweepPlan, placement: Placement, record: SweepRecord, trials: Mapping[str, TrialRecord]
) -> SweepPlan:
    return replace(
        plan,
        sweep=record,
        configs=finals_configs(record, trials),
        study=None,
        storage=f"{plan.storage}/{record.parent}",
        max_concurrent_trials=min(placement.num_slots, record.num_trials),
        num_cohorts=0,
        # all trainings of the winner are scored, and it is known only at the end
        keep="all",
        finals=None,
    )


def _with_finals(
    plan: SweepPlan, runs: RunStore, record: SweepRecord, trials: Mapping[str, TrialRecord]
) -> SweepResult:
    searched = summarise_sweep(runs, plan.sweep, now(), plan.prices)
    assert searched is not None, "the finals begin once all trials have an outcome"
    if not record.finalists:
        return searched
    nested = runs.finals(plan.sweep.sweep_id)
    finals = rank_retrained(record, trials, nested.trials(record.sweep_id))
    retrained = nested.result(record.sweep_id)
    return replace(
        searched,
        finals=finals,
        num_epochs=searched.num_epochs + finals.num_epochs,
        accelerator_seconds=searched.accelerator_seconds + finals.accelerator_seconds,
        cost=_sum(searched.cost, retrained.cost if retrained else None),
    )


def _sum(one: Cost | None, other: Cost | None) -> Cost | None:
    """The sum of both, which count the same kind of device; without a price where one has none."""
    if one is None or other is None:
        return one
    return replace(
        one,
        held_s=one.held_s + other.held_s,
        useful_s=one.useful_s + other.useful_s,
        failed_s=one.failed_s + other.failed_s,
        repeated_s=one.repeated_s + other.repeated_s,
        price=None if one.price is None or other.price is None else one.price + other.price,
        remark=one.remark or other.remark,
    )
