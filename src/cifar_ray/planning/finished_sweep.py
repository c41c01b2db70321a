"""Reads the records of a finished sweep, from which a plan takes its learning curves and times."""

from __future__ import annotations

import math
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from cifar_ray.errors import ConfigurationError, RecordError
from cifar_ray.json_record import DAMAGED
from cifar_ray.planning.curve_bank import TrialCurve
from cifar_ray.provenance import seconds_between
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TrialRecord
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study
from cifar_ray.studies.trial_config import DEFAULTS, DESCRIPTIONS

CPU = "CPU"
"""Stands for CPU cores where an accelerator type is expected."""
_UNKNOWN = "accelerators of unknown type"


@dataclass(frozen=True, kw_only=True)
class FinishedSweep:
    """A finished sweep that curves are taken from."""

    sweep: SweepRecord
    result: SweepResult
    trials: Sequence[TrialRecord]
    metrics: Sequence[EpochMetrics]

    @property
    def accelerator(self) -> str:
        """The accelerator types that it and its resumptions ran on, by Ray's names; CPU where it used none."""
        if not self.sweep.accelerators_per_trial:
            return CPU
        nodes = (self.sweep.hardware, *(each.hardware for each in self.sweep.resumptions))
        return ", ".join(sorted({kind for each in nodes for kind in _types_on(each)}))

    @property
    def is_whole(self) -> bool:
        """Whether a trial that has not diverged reached its last epoch, so that all curves can be completed."""
        return any(len(each.accuracies) >= self.sweep.max_epochs and not each.has_diverged for each in self.curves())

    def curves(self) -> list[TrialCurve]:
        """The curve of each trial that did not fail, in the order of starts or, in cohorts, of first reports.

        A first epoch may include one-off work such as compilation: in a trial's mean it counts no more than the
        slowest of its later epochs or, where it has none, of all trials'. RecordError where it lacks or repeats one.
        """
        slowest_s = max((line.seconds for line in self.metrics if line.epoch > 1), default=math.inf)
        lines: defaultdict[str, list[EpochMetrics]] = defaultdict(list)
        for line in sorted(self.metrics, key=lambda each: each.epoch):
            lines[line.trial_id].append(line)
        places = {trial_id: place for place, trial_id in enumerate(lines)} if self.sweep.is_cohort else {}
        found = []
        for trial in sorted(self.trials, key=lambda each: places.get(each.trial_id, 0)):
            if trial.outcome == "failed":
                continue
            own = lines[trial.trial_id]
            if [line.epoch for line in own] != [*range(1, trial.num_epochs + 1)]:
                where = layout.metrics(self.sweep.sweep_id)
                what = f"not each epoch of {trial.trial_id} once, from 1 to {trial.num_epochs}"
                raise RecordError(f"{where}: {what}", DAMAGED)
            if not own:
                continue
            first_s, *later_s = (line.seconds for line in own)
            found.append(
                TrialCurve(
                    accuracies=[line.validation_accuracy for line in own],
                    epoch_s=fmean((min(first_s, max(later_s, default=slowest_s)), *later_s)),
                    has_diverged=trial.outcome == "diverged",
                )
            )
        return found


def read_finished(runs: RunStore, sweep_id: str, study: Study) -> FinishedSweep:
    """Read a sweep's records, without its finals.

    ConfigurationError where it has not finished, has no epoch of a trial that did not fail, or is of a population,
    another study, or trains given configurations (--best-of, finals); RecordError where a record is damaged.
    """
    sweep, result = runs.sweep(sweep_id), runs.result(sweep_id)
    if sweep.searcher == "pbt":
        raise ConfigurationError(
            f"sweep {sweep_id} is of a population, whose trials do not start from scratch",
            "take curves of another sweep",
        )
    if sweep.best_of is not None:
        raise ConfigurationError(
            f"sweep {sweep_id} is of what --best-of {sweep.best_of} gave, not of what the study draws",
            "take curves of a sweep that drew its trials",
        )
    if sweep.parent is not None:
        raise ConfigurationError(
            f"sweep {sweep_id} is the finals of {sweep.parent}, of its best configurations alone",
            # in whose folder they are
            f"take the curves of that sweep: --curves {shlex.quote(runs.objects.uri)}",
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
        # the search alone: finals are simulated separately
        began = runs.finals(sweep_id).sweep(layout.finals(sweep_id)).started_at
        result = replace(
            result,
            finished_at=began,
            wall_s=seconds_between(sweep.started_at, began),
            num_epochs=result.num_epochs - result.finals.num_epochs,
        )
    trials = runs.trials(sweep_id)
    _check_configs(sweep_id, trials)
    found = FinishedSweep(sweep=sweep, result=result, trials=trials, metrics=runs.metrics(sweep_id))
    if not found.curves():
        raise ConfigurationError(f"no trial of sweep {sweep_id} finished an epoch unharmed", "take other --curves")
    return found


def _types_on(hardware: Mapping[str, str]) -> list[str]:
    return (hardware.get("accelerator_types") or _UNKNOWN).split(", ")


def _check_configs(sweep_id: str, trials: Sequence[TrialRecord]) -> None:
    needed = [name for name in DESCRIPTIONS if name not in DEFAULTS]
    for trial in trials:
        if lacking := [name for name in needed if name not in trial.config]:
            raise RecordError(
                f"{layout.trial_record(sweep_id, trial.trial_id)}: TrialRecord.config: no {', '.join(lacking)}",
                DAMAGED,
            )
