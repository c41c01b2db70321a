"""The shape of one worker: how many trials it trains at once, and how many accelerators or cores it holds."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from cifar_ray.capacity import max_cohort_size
from cifar_ray.records import SweepRecord
from cifar_ray.resource_use import Device
from cifar_ray.studies import Study
from cifar_ray.wording import counted


@dataclass(frozen=True, kw_only=True)
class WorkerShape:
    """One accelerator, or as many as a trial takes; without any, the cores of a trial or of a cohort's node."""

    places: int
    """Trials that it trains at once."""
    units: float
    """Accelerators or cores that it holds."""
    unit: Device
    is_cohort: bool

    def __str__(self) -> str:
        """Such as `1 accelerator, 4 trials at once`."""
        held = f"{self.units:g} {self.unit}{'' if self.units == 1 else 's'}"
        if self.is_cohort:
            return f"{held}, up to {self.places} trials in one cohort"
        return f"{held}, {counted(self.places, 'trial')} at once"


def worker_shape(study: Study, *, is_cohort: bool, has_accelerators: bool, timed_on: SweepRecord | None) -> WorkerShape:
    """The shape in the sweep whose times are used or, without one, in a sweep of the study."""
    if has_accelerators:
        if is_cohort:
            return WorkerShape(places=max_cohort_size(1), units=1, unit="accelerator", is_cohort=True)
        each = (timed_on.accelerators_per_trial if timed_on else 0) or study.accelerators_per_trial
        if each >= 1:
            return WorkerShape(places=1, units=each, unit="accelerator", is_cohort=False)
        return WorkerShape(places=math.floor(1 / each + 1e-9), units=1, unit="accelerator", is_cohort=False)
    # a cohort takes all cores of a node, assumed to be like this machine
    usual = float(os.cpu_count() or 1) if is_cohort else 1.0
    # not a cohort's on an accelerator, whose core has little to do
    is_known = timed_on is not None and not (is_cohort and timed_on.accelerators_per_trial)
    cores = timed_on.cpus_per_trial if timed_on and is_known else usual
    return WorkerShape(places=max_cohort_size(cores) if is_cohort else 1, units=cores, unit="core", is_cohort=is_cohort)
