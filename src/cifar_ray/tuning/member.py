"""A trial of a cohort as Ray Tune runs it: it waits for its epochs and reports them. Never loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import ray
from ray.actor import ActorHandle

from cifar_ray.tuning.epoch_report import report_epoch

MEMBER_RESOURCES = {"CPU": 0.001}
"""It computes nothing, but a head that is told to hold no work (0 CPUs) must not hold it either."""
DEADLINE_S = 24 * 3600
"""For one pass of a cohort; Ray itself notices an engine that died."""


def run_member(assignment: dict[str, Any], *, engines: Sequence[ActorHandle]) -> None:
    """Ray Tune's function trainable; `assignment` holds `trial_id` and `settings`."""
    trial_id = assignment["trial_id"]
    engine = _choose_engine(engines, trial_id)
    history = ray.get(engine.join.remote(trial_id, assignment["settings"]), timeout=DEADLINE_S)
    try:
        for metrics in history:
            report_epoch(metrics)
        while metrics := ray.get(engine.next_epoch.remote(trial_id), timeout=DEADLINE_S):
            report_epoch(metrics)
    finally:
        # not waited for: Ray Tune has no use for a process that is slow to let its trial go
        engine.leave.remote(trial_id)


def _choose_engine(engines: Sequence[ActorHandle], trial_id: str) -> ActorHandle:
    """The one with the fewest members; trials that start together spread over those that have equally few."""
    loads = cast("list[int]", ray.get([engine.num_members.remote() for engine in engines], timeout=DEADLINE_S))
    first = int(trial_id.removeprefix("t")) % len(engines)
    order = sorted(range(len(engines)), key=lambda index: (loads[index], (index - first) % len(engines)))
    return engines[order[0]]
