"""Where a plan's curves and times come from: finished sweeps in a store, or the stated model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import mean

from cifar_ray.errors import ConfigurationError
from cifar_ray.planning.curve_bank import CurveBank, MeasuredCurve
from cifar_ray.planning.curve_model import EPOCH_S, STATEMENT, expected_best, model_bank
from cifar_ray.planning.timing import Timing, assumed_timing, measured_timing
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TrialRecord
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study

CPU = "CPU"
"""What a core is called among accelerators."""


@dataclass(frozen=True, kw_only=True)
class FinishedSweep:
    """One of those that curves are taken from."""

    sweep: SweepRecord
    result: SweepResult
    trials: Sequence[TrialRecord]
    metrics: Sequence[EpochMetrics]

    @property
    def accelerator(self) -> str:
        """What it ran on, as Ray names its type; CPU where it used none."""
        if not self.sweep.accelerators_per_trial:
            return CPU
        return self.sweep.hardware.get("accelerator_types") or "accelerators of unknown type"

    def timing(self) -> Timing:
        """Of the sweep."""
        return measured_timing(self.sweep, self.trials, self.metrics, self.result)

    def curves(self, max_epochs: int) -> list[MeasuredCurve]:
        """Of each trial that did not fail, in the order of their starts; of a cohort's, of their first reports.

        One that diverged stays where it was.
        """
        lines: defaultdict[str, list[EpochMetrics]] = defaultdict(list)
        for line in sorted(self.metrics, key=lambda each: each.epoch):
            lines[line.trial_id].append(line)
        places = {trial_id: place for place, trial_id in enumerate(lines)} if self.sweep.is_cohort else {}
        found = []
        for trial in sorted(self.trials, key=lambda each: places.get(each.trial_id, 0)):
            if trial.outcome == "failed" or not (own := lines[trial.trial_id]):
                continue
            accuracies = [line.validation_accuracy for line in own]
            if trial.outcome == "diverged":
                accuracies += accuracies[-1:] * (max_epochs - len(accuracies))
            found.append(MeasuredCurve(accuracies=accuracies, epoch_s=mean(line.seconds for line in own)))
        return found


@dataclass(frozen=True, kw_only=True)
class CurveSource:
    """What a plan is computed from."""

    bank: CurveBank
    timing: Timing
    statement: str
    """In words, for whoever reads the plan."""
    cautions: Sequence[str] = ()
    timed_on: FinishedSweep | None = None
    """The sweep whose times these are."""


def modelled(study: Study, *, is_cohort: bool, epoch_s: float | None) -> CurveSource:
    """Without any finished sweep."""
    known_s = EPOCH_S if epoch_s is None else epoch_s
    whence = "as you gave it" if epoch_s is not None else "ASSUMED: give --epoch-s, all times follow it"
    best = "the report's" if study.published else "ASSUMED"
    return CurveSource(
        bank=model_bank(study, known_s),
        timing=assumed_timing(known_s, is_cohort=is_cohort),
        statement=f"a model, not a measurement: {STATEMENT}. Best of {study.budget.num_trials} trials: "
        f"{100 * expected_best(study):.1f} % ({best}). An epoch of a trial alone: {known_s:g} s ({whence}).",
        cautions=("no --curves: this plan rests on a model; a small finished sweep makes a better one",),
    )


def read_finished(runs: RunStore, sweep_id: str, study: Study) -> FinishedSweep:
    """A sweep's books, without its finals.

    ConfigurationError where it has not finished, has no epoch, or is of a population, another study or the best of
    another sweep.
    """
    sweep, result = runs.sweep(sweep_id), runs.result(sweep_id)
    if sweep.searcher == "pbt":
        raise ConfigurationError(
            f"sweep {sweep_id} is of a population, whose trials do not begin anew", "take curves of another sweep"
        )
    if sweep.best_of is not None:
        raise ConfigurationError(
            f"sweep {sweep_id} is of the best of {sweep.best_of}, not of what the study draws",
            f"take curves of {sweep.best_of}",
        )
    if sweep.study != study.name:
        raise ConfigurationError(
            f"sweep {sweep_id} is of the study {sweep.study}", f"take curves of {study.name}, or plan {sweep.study}"
        )
    if result is None:
        raise ConfigurationError(
            f"sweep {sweep_id} has not finished", f"let it: --sweep-id {sweep_id} --resume, or take other --curves"
        )
    if result.finals:
        # its search alone: finals are simulated apart
        began = runs.finals(sweep_id).sweep(layout.finals(sweep_id)).started_at
        result = replace(
            result,
            finished_at=began,
            wall_s=_seconds_between(sweep.started_at, began),
            num_epochs=result.num_epochs - result.finals.num_epochs,
        )
    metrics = runs.metrics(sweep_id)
    if not metrics:
        raise ConfigurationError(f"no trial of sweep {sweep_id} finished an epoch", "take other --curves")
    return FinishedSweep(sweep=sweep, result=result, trials=runs.trials(sweep_id), metrics=metrics)


def _seconds_between(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


def measured(
    sweeps: Sequence[FinishedSweep], study: Study, *, is_cohort: bool, accelerator: str | None, epoch_s: float | None
) -> CurveSource:
    """Curves of all these sweeps, times of the first that trained as the plan does.

    ConfigurationError where they do not belong together, or their times are not those of the plan.
    """
    _check_alike(sweeps)
    timed_on = next((each for each in sweeps if each.sweep.is_cohort == is_cohort), None)
    if epoch_s is None:
        _check_times(timed_on, is_cohort=is_cohort, accelerator=accelerator)
    max_epochs = study.budget.max_epochs
    timed = timed_on.curves(max_epochs) if timed_on else []
    usual_s = mean(curve.epoch_s for curve in timed) if timed else 1.0
    curves = [
        replace(
            curve, epoch_s=(curve.epoch_s if each.sweep.is_cohort == is_cohort else usual_s) * _scale(epoch_s, usual_s)
        )
        for each in sweeps
        for curve in each.curves(max_epochs)
    ]
    timing = timed_on.timing() if timed_on and epoch_s is None else assumed_timing(epoch_s or 0.0, is_cohort=is_cohort)
    first = sweeps[0].sweep
    return CurveSource(
        bank=CurveBank(curves, max_epochs=max_epochs, num_images=first.dataset.num_validation),
        timing=timing,
        statement=_describe(sweeps, curves, max_epochs, timed_on, epoch_s),
        cautions=_cautions(sweeps, study),
        timed_on=timed_on,
    )


def _scale(epoch_s: float | None, usual_s: float) -> float:
    return 1.0 if epoch_s is None else epoch_s / usual_s


def _check_alike(sweeps: Sequence[FinishedSweep]) -> None:
    first = sweeps[0].sweep
    for each in sweeps[1:]:
        if each.sweep.dataset.fingerprint != first.dataset.fingerprint:
            raise ConfigurationError(
                f"{first.sweep_id} and {each.sweep.sweep_id} are on different images: "
                f"{first.dataset.name} and {each.sweep.dataset.name}",
                "take --curves of one data set",
            )


def _check_times(timed_on: FinishedSweep | None, *, is_cohort: bool, accelerator: str | None) -> None:
    if timed_on is None:
        had, wanted = ("one by one", "in cohorts") if is_cohort else ("in cohorts", "one by one")
        raise ConfigurationError(
            f"the curves are of trials that trained {had}; how long trials take {wanted} is not in them",
            "add --curves of a sweep that trained so, or --epoch-s, the seconds of a trial's epoch",
        )
    if accelerator is not None and accelerator != timed_on.accelerator:
        raise ConfigurationError(
            f"the curves' epochs were timed on {timed_on.accelerator}, not on {accelerator}",
            f"add --epoch-s, the seconds of an epoch of one trial on {accelerator}",
        )


def _describe(
    sweeps: Sequence[FinishedSweep],
    curves: Sequence[MeasuredCurve],
    max_epochs: int,
    timed_on: FinishedSweep | None,
    epoch_s: float | None,
) -> str:
    num_cut = sum(len(curve.accuracies) < max_epochs for curve in curves)
    names = ", ".join(each.sweep.sweep_id for each in sweeps)
    text = f"curves of {len(curves)} trials of {names}"
    if num_cut:
        text += f"; ASHA cut {num_cut} of them off before epoch {max_epochs}: they go on as the nearest longer ones did"
    if epoch_s is not None:
        return f"{text}. An epoch of a trial alone: {epoch_s:g} s (as you gave it)."
    assert timed_on is not None
    model = timed_on.sweep.hardware.get("cpu_model", "")
    where = f"{timed_on.accelerator}{f' ({model})' if timed_on.accelerator == CPU and model else ''}"
    return f"{text}. Times of {timed_on.sweep.sweep_id}, on {where}."


def _cautions(sweeps: Sequence[FinishedSweep], study: Study) -> list[str]:
    found = []
    shortest = min(each.sweep.max_epochs for each in sweeps)
    longest = max(each.sweep.max_epochs for each in sweeps)
    has_schedule = study.fixed.get("schedule", "none") != "none" or "schedule" in study.space
    if has_schedule and (shortest, longest) != (study.budget.max_epochs, study.budget.max_epochs):
        found.append(
            f"the curves' learning rates come down over {longest} epochs, the plan's over {study.budget.max_epochs}: "
            "their accuracies before the end are not the plan's"
        )
    if len({each.sweep.is_cohort for each in sweeps}) > 1:
        found.append("curves of cohorts and of trials by themselves are taken as alike")
    return found
