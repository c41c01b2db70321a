"""The driver's part of a sweep's engines: starts them, knows which are up, spreads the trials over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.actor import ActorHandle

from cifar_ray.errors import CifarRayError, StorageError
from cifar_ray.storage.uploading import DRAIN_DEADLINE_S
from cifar_ray.tuning.engine import CohortEngine, EnginePlan

ANSWER_DEADLINE_S = 1.0
"""Seconds for an engine to show that it is up, when all are drained."""
MAX_CROWD = 8
"""Cohorts whose trials may all wait in one engine, with a thread each: those of further ones wait for a thread."""


def start_engines(
    num_engines: int, data: ray.ObjectRef, plan: EnginePlan, demand: Mapping[str, Any]
) -> list[ActorHandle]:
    """Start actors on the connected cluster, which Ray restarts if they die, as long as the caller holds `data`."""
    # a thread for each waiting trial, which may be all, for each that joins or leaves, and some for the driver
    num_threads = 2 * min(num_engines + 1, MAX_CROWD) * plan.num_slots + 4
    actor = ray.remote(CohortEngine).options(max_restarts=-1, max_concurrency=num_threads, **demand)
    return [actor.remote(data, plan) for _ in range(num_engines)]


class EngineWatch:
    """Polls each engine, and drains all at the end."""

    def __init__(self, engines: Sequence[ActorHandle], num_trials: int) -> None:
        """`num_trials` are those that this driver has to run."""
        self.engines = engines
        self.has_ended = False
        """Set at the end of the sweep, or of this driver: trials that still wait are to join no engine any more."""
        self._num_trials = num_trials
        self._joined: set[str] = set()
        self._asked = [engine.num_members.remote() for engine in engines]
        """Of each engine, the answer that is next."""
        self._loads: dict[ActorHandle, int] = {}
        """The members of each engine that is up."""

    @property
    def has_begun(self) -> bool:
        """Whether any trial has joined an engine."""
        return bool(self._joined)

    def note_joined(self, trial_id: str) -> None:
        """A trial has joined an engine. Once all have, the engines wait for no more."""
        is_new = trial_id not in self._joined
        self._joined.add(trial_id)
        if is_new and len(self._joined) == self._num_trials:
            for engine in self.engines:
                engine.expect_none.remote()

    def num_up(self) -> int:
        """How many are up."""
        return len(self.up())

    def up(self, patience_s: float = 0.0) -> list[ActorHandle]:
        """The engines that are up by their latest answers; one without a node answers with an error, or not at all."""
        answered, _ = ray.wait(self._asked, num_returns=len(self._asked), timeout=patience_s)
        for answer in answered:
            index = self._asked.index(answer)
            engine = self.engines[index]
            self._loads.pop(engine, None)
            with suppress(ray.exceptions.RayError):
                self._loads[engine] = ray.get(answer)
            self._asked[index] = engine.num_members.remote()
        return list(self._loads)

    def spread(self, num_live: int, num_slots: int) -> None:
        """Give each engine its share of the live trials, where one of them is idle or holds more than its slots.

        Nothing as long as some are on their way to one, by the latest answers, or if the fullest would part with one.
        """
        # the fullest keep what is left over
        engines = sorted(self.up(), key=self._loads.__getitem__, reverse=True)
        loads = [self._loads[engine] for engine in engines]
        if not loads or sum(loads) != num_live or 0 < loads[-1] <= loads[0] <= num_slots:
            return
        shares = [math.ceil((num_live - index) / len(engines)) for index in range(len(engines))]
        if loads[0] > shares[0] + 1:
            for engine, share in zip(engines, shares, strict=True):
                if share:
                    engine.set_share.remote(share)

    def drain(self) -> None:
        """Wait until every checkpoint is in the store; StorageError where that fails.

        An engine that died has none left to upload, and one whose node never came up has had none.
        """
        self.up()
        # asked anew: an answer that is still to come may be of the time before an engine was up
        self._asked = [engine.num_members.remote() for engine in self.engines]
        for engine in self.up(ANSWER_DEADLINE_S):
            try:
                ray.get(engine.drain.remote(), timeout=DRAIN_DEADLINE_S)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, CifarRayError):
                    raise error.cause from error
                raise
            except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError):
                continue
            except ray.exceptions.GetTimeoutError as error:
                raise StorageError(
                    f"the last checkpoints have not arrived within {DRAIN_DEADLINE_S:.0f} s",
                    "check the store, then resume",
                ) from error
