"""Looks after a running sweep: kills hung trials, spreads those of cohorts, says what it waits for and what idles."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
from ray.autoscaler.v2.schema import ClusterStatus
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.tune import Callback
from ray.tune.experiment import Trial

from cifar_ray.capacity import ACCELERATOR
from cifar_ray.progress.sweep_log import Waiting
from cifar_ray.storage.uploading import DRAIN_DEADLINE_S
from cifar_ray.tuning.engine_watch import EngineWatch
from cifar_ray.tuning.epoch_report import from_result
from cifar_ray.wording import counted

PERIOD_S = 5.0
"""Seconds between two checks."""
FIRST_EPOCH_DEADLINE_S = 2 * 3600.0
"""Until the sweep has an epoch there is nothing to compare with: a CPU may take half an hour for a ResNet's."""
LEAST_DEADLINE_S = 2 * DRAIN_DEADLINE_S
"""Twice as long as a trial may wait for the store, after its last epoch or before its first."""
HANG_FACTOR = 10
"""A trial counts as hung when its epoch takes this many times the sweep's slowest so far, process starts included."""
IDLE_DEADLINE_S = 300.0
"""Longer than a node takes to start and a trial to end."""

WAITING_AFTER_S = 20.0
"""Seconds without a running trial until that is reported: an engine, or a trial's process, takes that long to start."""
WAITING_PERIOD_S = 30.0
STUCK_AFTER_S = 600.0
"""Seconds without a starting node until a sweep is stuck: no autoscaler takes that long to request one it can get."""


class Watchdog(Callback):
    """Ray Tune's callback in the driver. A hung trial's process is killed, so it is retried like a failed one."""

    def __init__(
        self, say: Callable[[str], None], engines: EngineWatch | None = None, *, num_slots: int | None = None
    ) -> None:
        """`engines` watches those of cohorts, which have a deadline of their own, and their trials none.

        `num_slots` is the most trials of each; None where trials are not moved from one to another.
        """
        self._say = say
        self._engines = engines
        self._num_slots = num_slots
        self._heard: dict[str, float] = {}
        """When each running trial was last heard of."""
        self._slowest_s = 0.0
        self._looked = self._was_busy = float("-inf")
        self._idle_since: float | None = None
        self._said_waiting = float("-inf")

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial started."""
        self._heard[trial.trial_id] = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial finished an epoch."""
        now = time.monotonic()
        # an epoch that is repeated on resume arrives at once, whatever it took
        waited_s = now - self._heard.get(trial.trial_id, now)
        self._slowest_s = max(self._slowest_s, waited_s, from_result(result).seconds)
        self._heard[trial.trial_id] = now

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Check the sweep, if it is time to."""
        now = time.monotonic()
        if now - self._looked < PERIOD_S:
            return
        self._looked = now
        if self._engines is None:
            for trial in trials:
                if trial.status == Trial.RUNNING and trial.trial_id in self._heard:
                    self._end_if_hanging(trial, now)
        is_running = any(trial.status == Trial.RUNNING for trial in trials)
        # a head node that is slow to answer, as after the loss of many nodes, is asked again next time
        with suppress(ray.exceptions.RayError):
            if self._engines is not None:
                is_running = is_running and self._engines.num_up() > 0
                if self._num_slots is not None:
                    self._engines.spread(sum(not trial.is_finished() for trial in trials), self._num_slots)
            self._say_waiting(is_running, now)
            self._name_idle(now)

    def _end_if_hanging(self, trial: Trial, now: float) -> None:
        silence = now - self._heard[trial.trial_id]
        deadline = max(LEAST_DEADLINE_S, HANG_FACTOR * self._slowest_s) if self._slowest_s else FIRST_EPOCH_DEADLINE_S
        actor = trial.temporary_state.ray_actor
        if silence > deadline and actor is not None:
            self._say(f"trial {trial} hangs: no epoch for {silence:.0f} s; its process is ended, and it is tried again")
            del self._heard[trial.trial_id]
            ray.kill(actor)

    def _say_waiting(self, is_running: bool, now: float) -> None:
        """Say now and then what keeps the first trials, or those of lost nodes, from running."""
        if is_running:
            self._idle_since = None
            return
        if self._idle_since is None:
            self._idle_since = now
        waited = now - self._idle_since
        if waited > WAITING_AFTER_S and now - self._said_waiting > WAITING_PERIOD_S:
            self._said_waiting = now
            status = get_cluster_status(ray.get_runtime_context().gcs_address)
            self._say(describe_waiting(status, waited).to_line())

    def _name_idle(self, now: float) -> None:
        """Say, once per IDLE_DEADLINE_S, how many of the accelerators have been idle."""
        owned = ray.cluster_resources().get(ACCELERATOR, 0.0)
        idle = ray.available_resources().get(ACCELERATOR, 0.0)
        if idle < 1 or self._was_busy == float("-inf"):
            self._was_busy = now
        elif now - self._was_busy > IDLE_DEADLINE_S:
            self._say(
                f"{idle:g} of {owned:g} accelerators have been idle for {now - self._was_busy:.0f} s: no trial of the "
                "sweep uses them, and a pool that grows and shrinks would have let them go"
            )
            self._was_busy = now


def describe_waiting(status: ClusterStatus, waited_s: float) -> Waiting:
    """What a sweep without a running trial has been waiting for, for `waited_s` seconds."""
    counts = Counter[str]()
    # Ray lists each waiting trial separately
    for demand in (*status.resource_demands.ray_task_actor_demand, *status.resource_demands.placement_group_demand):
        for each in demand.bundles_by_count:
            counts[", ".join(f"{name} {amount:g}" for name, amount in sorted(each.bundle.items()))] += each.count
    asked = [f"{count} x {{{bundle}}}" for bundle, count in counts.items()]
    num_starting = sum(launch.count for launch in status.pending_launches) + len(status.pending_nodes)
    failed = [launch.details or "no reason given" for launch in status.failed_launches]
    parts = [
        f"asked for {' and '.join(asked)}" if asked else "asked for nothing that its nodes lack",
        f"{counted(num_starting, 'node')} starting" if num_starting else "no node is starting",
        *(f"the last could not start: {reason}" for reason in failed[-1:]),
    ]
    return Waiting(seconds=waited_s, is_stuck=not num_starting and waited_s > STUCK_AFTER_S, what="; ".join(parts))
