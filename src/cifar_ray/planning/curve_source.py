"""Provides a plan's curves and times: from finished sweeps in a store, or from the model of `curve_model`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from cifar_ray.errors import ConfigurationError
from cifar_ray.planning.curve_bank import CurveBank, TrialCurve
from cifar_ray.planning.curve_model import EPOCH_S, STATEMENT, expected_best, model_bank
from cifar_ray.planning.finished_sweep import CPU, FinishedSweep
from cifar_ray.planning.timing import COHORT_SETUP_S, Timing, assumed_timing, measured_timing
from cifar_ray.progress.asha import PASS_EACH, PASS_FIXED
from cifar_ray.studies import Study, as_defined
from cifar_ray.studies.trial_config import DEFAULTS


@dataclass(frozen=True, kw_only=True)
class CurveSource:
    """The curves and times that a plan is computed from."""

    bank: CurveBank
    timing: Timing
    statement: str
    """Where they come from, in words for the reader of the plan."""
    basis: str
    """The same in a few words, for the foot of a figure."""
    cautions: Sequence[str] = ()
    timed_on: FinishedSweep | None = None
    """The sweep that the times come from."""


@dataclass(frozen=True, kw_only=True)
class _Times:
    """The times of a source, and where they come from."""

    epoch_s: float
    """Mean seconds an epoch of a trial that trains alone."""
    timing: Timing
    statement: str
    basis: str
    cautions: Sequence[str] = ()


def modelled(study: Study, *, is_cohort: bool, epoch_s: float | None) -> CurveSource:
    """A source that needs no finished sweep."""
    times = _assumed_times(epoch_s, is_cohort=is_cohort)
    best = "the report's" if study.published else "ASSUMED"
    own = as_defined(study).budget
    most_epochs = max(own.max_epochs, study.budget.max_epochs)
    return CurveSource(
        bank=model_bank(study, times.epoch_s),
        timing=times.timing,
        statement=f"a model, not a measurement: {STATEMENT}. Best of {own.num_trials} trials "
        f"of {most_epochs} epochs, each at its best one: {100 * expected_best(study):.1f} % ({best}). "
        f"{times.statement}",
        basis=f"a model of curves, not a measurement; {times.basis}",
        cautions=(
            "no --curves: this plan rests on a model; a small finished sweep makes a better one",
            *times.cautions,
        ),
    )


def measured(
    sweeps: Sequence[FinishedSweep], study: Study, *, is_cohort: bool, accelerator: str | None, epoch_s: float | None
) -> CurveSource:
    """The curves of all these sweeps, with the times of the first that trained as the plan does, on its accelerator.

    ConfigurationError where they are of different images, or none has times that apply to the plan.
    """
    _check_alike(sweeps)
    alike = [each for each in sweeps if each.sweep.is_cohort == is_cohort]
    timed_on = next((each for each in alike if accelerator in (None, each.accelerator)), alike[0] if alike else None)
    if epoch_s is None:
        times = _measured_times(timed_on, is_cohort=is_cohort, accelerator=accelerator)
    else:
        times = _assumed_times(epoch_s, is_cohort=is_cohort)
    curves = [curve for each in sweeps for curve in _paced(each, times.epoch_s, is_cohort=is_cohort)]
    first, max_epochs = sweeps[0].sweep, study.budget.max_epochs
    more = f" and {len(sweeps) - 1} more" if len(sweeps) > 1 else ""
    return CurveSource(
        bank=CurveBank(curves, max_epochs=max_epochs, num_images=first.dataset.num_validation),
        timing=times.timing,
        statement=f"{_describe(sweeps, max_epochs)}. {times.statement}",
        basis=f"curves of {first.sweep_id}{more}; {times.basis}",
        cautions=(*_cautions(sweeps, study), *times.cautions),
        timed_on=timed_on,
    )


def _paced(finished: FinishedSweep, usual_s: float, *, is_cohort: bool) -> list[TrialCurve]:
    """Its curves, rescaled to a mean of `usual_s` an epoch, as sweeps differ in machines and shares of them.

    A trial's seconds in a cohort say nothing of those it takes alone, nor the other way round.
    """
    curves = finished.curves()
    mean_s = _mean_s(curves)
    is_alike = finished.sweep.is_cohort == is_cohort
    return [replace(curve, epoch_s=usual_s * (curve.epoch_s / mean_s if is_alike else 1.0)) for curve in curves]


def _mean_s(curves: Sequence[TrialCurve]) -> float:
    return fmean(curve.epoch_s for curve in curves)


def _check_alike(sweeps: Sequence[FinishedSweep]) -> None:
    first = sweeps[0].sweep
    for each in sweeps[1:]:
        if each.sweep.dataset.fingerprint != first.dataset.fingerprint:
            raise ConfigurationError(
                f"{first.sweep_id} and {each.sweep.sweep_id} are on different images: "
                f"{first.dataset.name} and {each.sweep.dataset.name}",
                "take --curves of one data set",
            )


def _assumed_times(epoch_s: float | None, *, is_cohort: bool) -> _Times:
    """Times that follow from the seconds of an epoch alone; None stands for EPOCH_S."""
    known_s = EPOCH_S if epoch_s is None else epoch_s
    whence = "as you gave it" if epoch_s is not None else "ASSUMED: give --epoch-s, all times follow it"
    statement = f"An epoch of a trial alone: {known_s:g} s ({whence})."
    cautions = []
    if is_cohort:
        statement += (
            f" A pass of a cohort of n takes {PASS_FIXED:g} + {PASS_EACH:g} n times as long, its set-up "
            f"{COHORT_SETUP_S:g} s (ASSUMED: measured on 2 CPU cores)."
        )
        cautions.append(
            "cohorts are timed as on 2 CPU cores, whatever a worker is: with more cores or an accelerator a pass of "
            "many trials takes far less. --curves of a cohort that trained there say how long"
        )
    return _Times(
        epoch_s=known_s,
        timing=assumed_timing(known_s, is_cohort=is_cohort),
        statement=statement,
        basis=f"times by {known_s:g} s an epoch, {'assumed' if epoch_s is None else 'as given'}",
        cautions=cautions,
    )


def _measured_times(timed_on: FinishedSweep | None, *, is_cohort: bool, accelerator: str | None) -> _Times:
    """The times of `timed_on`; ConfigurationError where it is None, or ran on another accelerator than the plan's."""
    if timed_on is None:
        had, wanted = ("individually", "in cohorts") if is_cohort else ("in cohorts", "individually")
        raise ConfigurationError(
            f"the curves are of trials that trained {had}; how long trials take {wanted} is not in them",
            "add --curves of a sweep that trained so, or --epoch-s, the seconds of a trial's epoch",
        )
    if accelerator is not None and accelerator != timed_on.accelerator:
        raise ConfigurationError(
            f"the curves' epochs were timed on {timed_on.accelerator}, not on {accelerator}",
            f"add --epoch-s, the seconds of an epoch of one trial on {accelerator}",
        )
    sweep = timed_on.sweep
    cautions = []
    model = sweep.hardware.get("cpu_model", "")
    where = f"{timed_on.accelerator}{f' ({model})' if timed_on.accelerator == CPU and model else ''}"
    if sweep.has_pauses:
        cautions.append(
            f"{sweep.sweep_id} was interrupted and resumed: its set-up and its end count for no more than is usual"
        )
    return _Times(
        epoch_s=_mean_s(timed_on.curves()),
        timing=measured_timing(timed_on),
        statement=f"Times of {sweep.sweep_id}, on {where}.",
        basis=f"times of {sweep.sweep_id}",
        cautions=cautions,
    )


def _describe(sweeps: Sequence[FinishedSweep], max_epochs: int) -> str:
    own = [curve for each in sweeps for curve in each.curves()]
    num_cut = _num_cut(sweeps, max_epochs)
    num_whole = sum(not curve.has_diverged and len(curve.accuracies) < max_epochs for curve in own) - num_cut
    ends = [f"ASHA cut {num_cut} of them off"] if num_cut else []
    ends += [f"{num_whole} ended with a shorter sweep"] if num_whole else []
    text = f"curves of {len(own)} trials of {', '.join(each.sweep.sweep_id for each in sweeps)}"
    if ends:
        text += f"; {' and '.join(ends)} before epoch {max_epochs}: they go on as the nearest longer ones did"
    return text


def _num_cut(sweeps: Sequence[FinishedSweep], max_epochs: int) -> int:
    """How many curves ASHA cut before that epoch."""
    return sum(
        not curve.has_diverged and len(curve.accuracies) < min(each.sweep.max_epochs, max_epochs)
        for each in sweeps
        for curve in each.curves()
    )


def _cautions(sweeps: Sequence[FinishedSweep], study: Study) -> Iterator[str]:
    planned = study.budget.max_epochs
    num_finite = sum(not curve.has_diverged for each in sweeps for curve in each.curves())
    if 2 * (num_cut := _num_cut(sweeps, planned)) > num_finite:
        # which assumes that each cut was right
        yield (
            f"ASHA cut {num_cut} of the {num_finite} curves, and they are completed like those that it kept: the "
            "chances of set-ups that cut trials may be far too high, and the full search's winner off by a point. To "
            f"check, plan from a sweep that cut nothing (--grace-period {planned})"
        )
    others = sorted({each.sweep.max_epochs for each in sweeps} - {planned})
    has_schedule = study.fixed.get("schedule", "none") != "none" or "schedule" in study.space
    if has_schedule and others:
        yield (
            f"the curves' learning rates come down over {' or '.join(map(str, others))} epochs, the plan's over "
            f"{planned}: their accuracies before the end are not the plan's"
        )
    if len({each.sweep.is_cohort for each in sweeps}) > 1:
        yield "curves of cohorts and of trials by themselves are taken as alike"
    for each in sweeps:
        name, searcher = each.sweep.sweep_id, each.sweep.searcher
        if searcher not in ("random", study.searcher):
            yield f"the trials of {name} were chosen by {searcher}: those that {study.searcher} chooses are others"
        if changes := _changes(each, study):
            yield (
                f"{name} is of a former form of the study, whose trials are not those of the plan, nor their times: "
                f"{', '.join(changes)}"
            )
        elif each.sweep.definition != study.definition:
            yield f"{name} began with another definition of the study: its trials may not be those of the plan"


def _changes(finished: FinishedSweep, study: Study) -> list[str]:
    """Settings in which its trials differ from those that every trial of the study shares today."""
    today = {name: value for name, value in {**DEFAULTS, **study.fixed}.items() if name not in study.space}
    had = [{**DEFAULTS, **trial.config} for trial in finished.trials]
    return [
        f"{name} {next(config[name] for config in had if config[name] != value)} (today {value})"
        for name, value in today.items()
        if any(config[name] != value for config in had)
    ]
