"""The driver's part of a sweep's engines: starts them, knows which are up, spreads the trials over them."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.actor import ActorHandle

from cifar_ray.errors import CifarRayError, StorageError
from cifar_ray.storage.uploading import DRAIN_DEADLINE_S
from cifar_ray.tuning.engine import CohortEngine, EnginePlan

LOOK_PERIOD_S = 0.2
"""Seconds between two looks at which engines have answered."""
ASK_PERIOD_S = 2.0
"""Seconds until an engine that has answered is asked again."""
START_DEADLINE_S = 20.0
"""Seconds to wait, once one engine is up, for the others, before the sweep's first trial joins: most start together."""
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
    """Places trials on the engines that are up, and drains all at the end. Any thread may call it.

    A trial costs as many calls of engines however many there are: which are up, a thread asks them now and then; which
    trial is where, the driver knows, since it has all trials (docs/decisions/0017).
    """

    def __init__(self, engines: Sequence[ActorHandle], num_trials: int) -> None:
        """`num_trials` are those that this driver has to run."""
        self.has_ended = False
        """Set at the end of the sweep, or of this driver: trials that still wait are to join no engine any more."""
        self._engines = list(engines)
        self._num_trials = num_trials
        self._changed = threading.Condition()
        self._members: dict[ActorHandle, set[str]] = {engine: set() for engine in engines}
        """The trials that have been placed on each engine."""
        self._places: defaultdict[str, set[ActorHandle]] = defaultdict(set)
        """The engines that may hold a trial: its own, and those that have not confirmed yet that they let it go."""
        self._joined: set[str] = set()
        self._asked: dict[ActorHandle, ray.ObjectRef | None] = dict.fromkeys(engines)
        """Of each engine, the answer that is next; None where it is not time yet to ask it."""
        self._answered = dict.fromkeys(engines, -math.inf)
        """When each last did."""
        self._up: set[ActorHandle] = set()
        self._errors: dict[ActorHandle, ray.exceptions.RayError] = {}
        """The last answers of engines that are not up."""
        self._opens = math.inf
        """When trials join the engines that are up by then, unless all are before."""

    def start(self) -> None:
        """Begin to ask the engines, in a thread, until the sweep ends."""
        threading.Thread(target=self._look_on, name="engine watch", daemon=True).start()

    def end(self) -> None:
        """Let no trial join an engine any more; those that wait for one are told."""
        with self._changed:
            self.has_ended = True
            self._changed.notify_all()

    def num_up(self) -> int:
        """How many engines are up. One without a node answers with an error, or not at all."""
        return len(self._up)

    def place(self, trial_id: str) -> ActorHandle | None:
        """The engine for a trial to join: of those that are up, one with the fewest. None once the sweep has ended.

        Other engines that it has been with, and that are up, have let it go: two would prune its epochs. Where none is
        up, it is waited for as long as it takes, as a trial that trains by itself waits. Raises an engine's error where
        none will ever be up again.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.has_ended or self._is_open() or self._are_dead())
            if self.has_ended:
                return None
            if not self._up:
                raise self._errors[self._engines[0]]
            self._opens = -math.inf
            up = [engine for engine in self._engines if engine in self._up]
            chosen = min(up, key=lambda engine: len(self._members[engine]))
            self._members[chosen].add(trial_id)
            self._places[trial_id].add(chosen)
            others = self._places[trial_id] & self._up - {chosen}
        if others:
            self._part(trial_id, others)
        return None if self.has_ended else chosen

    def release(self, trial_id: str, engine: ActorHandle) -> None:
        """Have its engine let a trial go. That is not waited for: its checkpoints may take minutes to be stored."""
        with self._changed:
            self._members[engine].discard(trial_id)
        engine.leave.remote(trial_id)

    def doubt(self, engine: ActorHandle) -> None:
        """Place no trial on an engine until it answers anew."""
        with self._changed:
            self._up.discard(engine)
            self._asked[engine] = engine.is_usable.remote()

    def note_joined(self, trial_id: str, engine: ActorHandle) -> None:
        """A trial has joined an engine. Once all have, one here, one there, the engines wait for no others."""
        with self._changed:
            is_new = trial_id not in self._joined
            self._joined.add(trial_id)
            if len(self._joined) < self._num_trials:
                return
            # an idle one is told when the first trial comes to it
            for each in self._engines if is_new else [engine]:
                if self._members[each]:
                    each.expect.remote(len(self._members[each]))

    def spread(self, num_live: int, num_slots: int) -> None:
        """Give each engine its share of the live trials, where one of them is idle or holds more than its slots.

        Nothing as long as some are on their way to one, or if the fullest would part with one.
        """
        with self._changed:
            loads = {engine: len(self._members[engine]) for engine in self._engines if engine in self._up}
        # the fullest keep what is left over
        engines = sorted(loads, key=loads.__getitem__, reverse=True)
        if not engines or sum(loads.values()) != num_live or 0 < loads[engines[-1]] <= loads[engines[0]] <= num_slots:
            return
        shares = [math.ceil((num_live - index) / len(engines)) for index in range(len(engines))]
        if loads[engines[0]] > shares[0] + 1:
            for engine, share in zip(engines, shares, strict=True):
                if share:
                    engine.set_share.remote(share)

    def drain(self) -> None:
        """End, and wait until every checkpoint is in the store; StorageError where that fails.

        An engine that died has none left to upload, and one whose node never came up has had none.
        """
        self.end()
        asked = {engine.is_usable.remote(): engine for engine in self._engines}
        answered, _ = ray.wait([*asked], num_returns=len(asked), timeout=ANSWER_DEADLINE_S)
        drains = [asked[answer].drain.remote() for answer in answered if isinstance(_read(answer), bool)]
        # all, before the first error ends the engines
        ray.wait(drains, num_returns=len(drains), timeout=DRAIN_DEADLINE_S)
        for drain in drains:
            try:
                ray.get(drain, timeout=0)
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

    def _is_open(self) -> bool:
        """Whether a trial may join one of the engines that are up, with the lock held."""
        return bool(self._up) and (len(self._up) == len(self._engines) or time.monotonic() >= self._opens)

    def _are_dead(self) -> bool:
        """Whether no engine will be up again, with the lock held."""
        return all(isinstance(self._errors.get(each), ray.exceptions.ActorDiedError) for each in self._engines)

    def _part(self, trial_id: str, others: Iterable[ActorHandle]) -> None:
        """Have engines let a trial go that was with them: one may only have been out of reach."""
        asked = {engine.leave.remote(trial_id): engine for engine in others}
        # one that dies meanwhile has let it go, too
        parted, _ = ray.wait([*asked], num_returns=len(asked), timeout=DRAIN_DEADLINE_S)
        with self._changed:
            self._places[trial_id] -= {asked[answer] for answer in parted}

    def _look_on(self) -> None:
        while not self.has_ended:
            # a head node that is slow to answer, as after the loss of many nodes, is asked again
            with suppress(ray.exceptions.RayError):
                self._look()
            time.sleep(LOOK_PERIOD_S)

    def _look(self) -> None:
        """Note which engines have answered, and ask those that have not been asked for a while."""
        with self._changed:
            asked = {answer: engine for engine, answer in self._asked.items() if answer is not None}
            answered, _ = ray.wait([*asked], num_returns=len(asked), timeout=0)
            now = time.monotonic()
            for answer in answered:
                engine = asked[answer]
                self._asked[engine], self._answered[engine] = None, now
                self._note(engine, _read(answer))
            if self._up:
                self._opens = min(self._opens, now + START_DEADLINE_S)
            for engine, next_answer in self._asked.items():
                if next_answer is None and now - self._answered[engine] >= ASK_PERIOD_S:
                    self._asked[engine] = engine.is_usable.remote()
            if answered or -math.inf < self._opens <= now:
                self._changed.notify_all()

    def _note(self, engine: ActorHandle, answer: bool | ray.exceptions.RayError) -> None:
        self._errors.pop(engine, None)
        if answer is True:
            self._up.add(engine)
            return
        self._up.discard(engine)
        if isinstance(answer, ray.exceptions.RayError):
            self._errors[engine] = answer

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        """Pickle as nothing: Ray Tune pickles all that it is given, into a state that nobody reads."""
        return object, ()


def _read(answer: ray.ObjectRef) -> bool | ray.exceptions.RayError:
    """Whether an engine is usable, or the error of one that is not up."""
    try:
        return bool(ray.get(answer))
    except ray.exceptions.RayError as error:
        return error
