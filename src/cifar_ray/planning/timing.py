"""The overheads of a sweep besides its epochs: as a finished sweep shows them, or as measured elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from statistics import fmean, linear_regression, median

from cifar_ray.capacity import ACCELERATOR, NodeKind
from cifar_ray.planning.finished_sweep import FinishedSweep
from cifar_ray.progress.asha import PASS_EACH, PASS_FIXED
from cifar_ray.records import EpochMetrics, SweepRecord

COHORT_SETUP_S = 5.0
"""Seconds until a cohort's first pass: its engine starts. Two sweeps of 32 trials on 2 CPU cores took 4.2 and 5.0."""
DECISION_S, COHORT_DECISION_S = 0.023, 0.012
"""Driver seconds per result, for trials one by one and in cohorts: 1,000 trials in docs/performance.md."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Overheads of a sweep, in seconds. The defaults are those of the one-machine sweeps in docs/planning.md."""

    setup_s: float = 9.0
    """From the sweep's record to the first trial: the data, the first processes."""
    trial_start_s: float = 0.2
    """From a free place to a trial's first epoch in it, in a warm process. A cohort's passes wait for no new member."""
    gap_s: float = 0.03
    """Between two epochs of a trial, or two passes of a cohort, not counting the driver's time."""
    teardown_s: float = 1.0
    """From the last epoch to the sweep's result."""
    decision_s: float = DECISION_S
    """Driver time for each result, one after another: Ray Tune, ASHA and the records."""
    pass_fixed_s: float = 0.0
    """Part of a cohort's pass that does not depend on its members."""
    pass_each_s: float = 0.0
    """Part of a cohort's pass for each trial in it."""

    def pass_s(self, num_trials: int) -> float:
        """Wall time of a pass of so many trials."""
        return self.pass_fixed_s + self.pass_each_s * num_trials


def assumed_timing(epoch_s: float, *, is_cohort: bool) -> Timing:
    """The timing if only the epoch of a trial that trains alone is known."""
    if not is_cohort:
        return Timing()
    return Timing(
        setup_s=COHORT_SETUP_S,
        trial_start_s=0.0,
        decision_s=COHORT_DECISION_S,
        pass_fixed_s=PASS_FIXED * epoch_s,
        pass_each_s=PASS_EACH * epoch_s,
    )


def measured_timing(finished: FinishedSweep) -> Timing:
    """The timing of a finished sweep. If its version did not record when epochs ended, all overhead counts as set-up.

    In an interrupted sweep, set-up and teardown may include time without a driver: they count for no more than usual.
    """
    sweep, metrics = finished.sweep, finished.metrics
    usual = assumed_timing(0.0, is_cohort=sweep.is_cohort)
    ends = {(line.trial_id, line.epoch): _instant(line.ended_at) for line in metrics if line.ended_at}
    if len(ends) < len(metrics):
        setup_s = max(0.0, finished.result.wall_s - _training_s(sweep, metrics))
        found = replace(usual, setup_s=setup_s, trial_start_s=0.0, gap_s=0.0, teardown_s=0.0)
    else:
        found = _observed(finished, ends, usual)
    if sweep.has_pauses:
        setup_s, teardown_s = min(found.setup_s, usual.setup_s), min(found.teardown_s, usual.teardown_s)
        found = replace(found, setup_s=setup_s, teardown_s=teardown_s)
    if not sweep.is_cohort:
        return found
    fixed_s, each_s = _fit_passes(metrics)
    return replace(found, pass_fixed_s=fixed_s, pass_each_s=each_s)


def num_places(sweep: SweepRecord) -> int:
    """How many trials, or cohorts, its nodes held at once, taken as one node."""
    demand = {"CPU": sweep.cpus_per_trial, ACCELERATOR: sweep.accelerators_per_trial}
    held = {name: float(sweep.hardware.get(key, 1)) for name, key in (("CPU", "cpus"), (ACCELERATOR, "accelerators"))}
    return max(1, NodeKind(name="all", resources=held, max_nodes=1).trials_per_node(demand))


def _observed(finished: FinishedSweep, ends: Mapping[tuple[str, int], float], usual: Timing) -> Timing:
    sweep, metrics = finished.sweep, finished.metrics
    begins = {(line.trial_id, line.epoch): ends[line.trial_id, line.epoch] - line.seconds for line in metrics}
    # the next pass begins once every trial of this one has been decided on
    gaps = [
        begins[line.trial_id, line.epoch + 1] - ends[line.trial_id, line.epoch] - usual.decision_s * line.num_sharing
        for line in metrics
        if (line.trial_id, line.epoch + 1) in begins
    ]
    started = {each.trial_id: _instant(event.at) for each in finished.trials for event in each.events[:1]}
    starts = [begins[trial_id, 1] - at for trial_id, at in started.items() if (trial_id, 1) in begins]
    gap_s = max(0.0, median(gaps)) if gaps else usual.gap_s
    if sweep.is_cohort:
        # several cohorts' passes overlap, and in an interrupted sweep a wait may include time without a driver
        is_plain = num_places(sweep) == 1 and not sweep.has_pauses
        starts = [wait_s - gap_s for wait_s in _waits_for_new(metrics, ends)] if is_plain else []
    trial_start_s = max(0.0, median(starts)) if starts else usual.trial_start_s
    return replace(
        usual,
        setup_s=max(0.0, min(begins.values()) - _instant(sweep.started_at) - trial_start_s),
        trial_start_s=trial_start_s,
        gap_s=gap_s,
        teardown_s=max(0.0, _instant(finished.result.finished_at) - max(ends.values())),
    )


def _waits_for_new(metrics: Sequence[EpochMetrics], ends: Mapping[tuple[str, int], float]) -> list[float]:
    """For one cohort: seconds from a pass's last report to the next pass, for each pass that new trials joined."""
    passes = defaultdict[float, list[EpochMetrics]](list)
    for line in metrics:
        passes[line.seconds].append(line)
    heard = {seconds: [ends[line.trial_id, line.epoch] for line in lines] for seconds, lines in passes.items()}
    in_order = sorted(passes, key=lambda seconds: min(heard[seconds]))
    return [
        min(heard[later]) - later - max(heard[earlier])
        for earlier, later in pairwise(in_order)
        if any(line.epoch == 1 for line in passes[later])
    ]


def _training_s(sweep: SweepRecord, metrics: Sequence[EpochMetrics]) -> float:
    """Wall time of the training alone, had no place ever been idle."""
    if sweep.is_cohort:
        return sum({line.seconds for line in metrics})
    return sum(line.seconds for line in metrics) / num_places(sweep)


def _fit_passes(metrics: Sequence[EpochMetrics]) -> tuple[float, float]:
    """Fixed and per-trial seconds of a pass, by least squares over all passes; neither is negative."""
    passes = {line.seconds: line.num_sharing for line in metrics}
    mean_size, mean_s = fmean(passes.values()), fmean(passes)
    if len(set(passes.values())) < 2:
        unit_s = mean_s / (PASS_FIXED + PASS_EACH * mean_size)
        return unit_s * PASS_FIXED, unit_s * PASS_EACH
    each_s = linear_regression(list(passes.values()), list(passes)).slope
    each_s = min(max(0.0, each_s), mean_s / mean_size)
    return mean_s - each_s * mean_size, each_s


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
