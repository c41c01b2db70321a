"""A trial of a cohort as Ray Tune runs it: it waits for its epochs and reports them. Never loads torch."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, cast

import ray
from ray.actor import ActorHandle

from cifar_ray.records import EpochMetrics
from cifar_ray.tuning.epoch_report import report_epoch

MEMBER_RESOURCES = {"CPU": 0.001}
"""It computes nothing, but a head that is told to hold no work (0 CPUs) must not hold it either."""
DEADLINE_S = 2 * 3600
"""For one pass of a cohort, a minute or two on a slow CPU: then it hangs. Ray itself notices an engine that died."""
RETURN_DEADLINE_S = 3600
"""For an engine to come back, on a node that an autoscaler has yet to find."""
RETURN_PERIOD_S = 2.0
MAX_LOSSES = 5
"""Of a node in a row, without an epoch between: then it is not the nodes that end the trial."""

_LOSSES = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError, ray.exceptions.GetTimeoutError)


def run_member(assignment: dict[str, Any], *, engines: Sequence[ActorHandle]) -> None:
    """Ray Tune's function trainable; `assignment` is as `assign` makes it.

    An engine that dies with its node, as on a spot instance, comes back on another: the trial joins again and
    goes on from its newest checkpoint. Ray Tune notices nothing, and its budget of failures stays whole. So does one
    that hangs: the first trial to lose patience ends it.
    """
    trial_id = assignment["trial_id"]
    engine = _choose_engine(engines, trial_id)
    num_reported = num_losses = 0
    while True:
        try:
            with closing(_epochs(engine, assignment)) as epochs:
                for metrics in epochs:
                    if metrics.epoch > num_reported:
                        report_epoch(metrics)
                        num_reported, num_losses = metrics.epoch, 0
            return
        except _LOSSES as error:
            num_losses += 1
            if num_losses > MAX_LOSSES:
                raise
            if isinstance(error, ray.exceptions.GetTimeoutError):
                ray.kill(engine, no_restart=False)


def _epochs(engine: ActorHandle, assignment: Mapping[str, Any]) -> Generator[EpochMetrics]:
    """Join, then all epochs that the trial has had and will have."""
    trial_id = assignment["trial_id"]
    history = _join(engine, assignment)
    try:
        yield from history
        while metrics := ray.get(engine.next_epoch.remote(trial_id), timeout=DEADLINE_S):
            yield metrics
    finally:
        # not waited for: Ray Tune has no use for a process that is slow to let its trial go
        engine.leave.remote(trial_id)


def _join(engine: ActorHandle, assignment: Mapping[str, Any]) -> list[EpochMetrics]:
    """The epochs that the trial has had; waits for an engine that is coming back, whose node may have to come first."""
    deadline = time.monotonic() + RETURN_DEADLINE_S
    while True:
        try:
            return cast("list[EpochMetrics]", ray.get(engine.join.remote(dict(assignment)), timeout=DEADLINE_S))
        except ray.exceptions.ActorUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETURN_PERIOD_S)


def _choose_engine(engines: Sequence[ActorHandle], trial_id: str) -> ActorHandle:
    """The one with the fewest members; trials that start together spread over those that have equally few."""
    loads = [_load(engine) for engine in engines]
    first = int(trial_id.removeprefix("t")) % len(engines)
    order = sorted(range(len(engines)), key=lambda index: (loads[index], (index - first) % len(engines)))
    return engines[order[0]]


def _load(engine: ActorHandle) -> int:
    """The trials that it holds; none while it is coming back."""
    try:
        return cast("int", ray.get(engine.num_members.remote(), timeout=DEADLINE_S))
    except ray.exceptions.ActorUnavailableError:
        return 0
