"""Ends trials that hang, and names accelerators that stand idle while a sweep runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial

from cifar_ray.tuning.capacity import ACCELERATOR

PERIOD_S = 5.0
"""Between two looks."""
FIRST_EPOCH_DEADLINE_S = 2 * 3600.0
"""Without any epoch of the sweep there is nothing to compare with: a CPU may take half an hour for a ResNet's."""
LEAST_DEADLINE_S = 600.0
HANG_FACTOR = 10
"""A trial hangs whose epoch takes this many times the sweep's slowest, process starts included, so far."""
IDLE_DEADLINE_S = 300.0
"""Longer than a node's start and a trial's end."""


class Watchdog(Callback):
    """Ray Tune's callback in the driver. A trial that hangs is ended, and so tried again like one that fails."""

    def __init__(self, say: Callable[[str], None], *, ends_trials: bool) -> None:
        """`ends_trials` is False where trials train in the process of a cohort, which has a deadline of its own."""
        self._say = say
        self._ends_trials = ends_trials
        self._heard: dict[str, float] = {}
        """When each running trial was last heard of."""
        self._slowest_s = 0.0
        self._looked = self._was_busy = float("-inf")

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial got its process."""
        self._heard[trial.trial_id] = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial finished an epoch."""
        now = time.monotonic()
        self._slowest_s = max(self._slowest_s, now - self._heard.get(trial.trial_id, now))
        self._heard[trial.trial_id] = now

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Look, where it is time to."""
        now = time.monotonic()
        if now - self._looked < PERIOD_S:
            return
        self._looked = now
        if self._ends_trials:
            for trial in trials:
                if trial.status == Trial.RUNNING and trial.trial_id in self._heard:
                    self._end_if_hanging(trial, now)
        self._name_idle(now)

    def _end_if_hanging(self, trial: Trial, now: float) -> None:
        silence = now - self._heard[trial.trial_id]
        deadline = max(LEAST_DEADLINE_S, HANG_FACTOR * self._slowest_s) if self._slowest_s else FIRST_EPOCH_DEADLINE_S
        actor = trial.temporary_state.ray_actor
        if silence > deadline and actor is not None:
            self._say(f"trial {trial} hangs: no epoch for {silence:.0f} s; its process is ended, and it is tried again")
            del self._heard[trial.trial_id]
            ray.kill(actor)

    def _name_idle(self, now: float) -> None:
        """Say, once in each such time, which part of the accelerators has stood idle."""
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
