"""The driver's part of a sweep's engines: starts them, places trials on those that are up, drains them."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ray
from ray.actor import ActorHandle

from cifar_ray.errors import CifarRayError, StorageError
from cifar_ray.storage.uploading import DRAIN_DEADLINE_S
from cifar_ray.tuning.engine import CohortEngine, EnginePlan

ASK_PERIOD_S = 2.0
"""Seconds until an engine that has answered is asked again whether it is up."""
START_DEADLINE_S = 20.0
"""Seconds to wait, once one engine is up, for the others, before the sweep's first trial joins: most start together."""
SILENT_S = 10.0
"""Seconds without an answer until an engine counts as not up: frozen, or on a node whose loss nobody has noticed."""
ANSWER_DEADLINE_S = 1.0
"""Seconds for an engine to show that it is up, after the loss of any, and when all are drained."""
MAX_CROWD = 8
"""Cohorts whose trials may all wait in one engine, with a thread each: those of further ones wait for a thread."""
LOST = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError)
"""The errors of an engine that has died, and mostly comes back."""


def start_engines(
    num_engines: int, data: ray.ObjectRef, plan: EnginePlan, demand: Mapping[str, Any]
) -> list[ActorHandle]:
    """Start actors on the connected cluster, which Ray restarts if they die, as long as the caller holds `data`."""
    # a thread for each waiting trial, which may be all, for each that joins or leaves, and some to drain it
    num_threads = 2 * min(num_engines + 1, MAX_CROWD) * plan.num_slots + 4
    # its calls are never behind trials that wait
    control = ray.remote(concurrency_groups={"control": 1})
    actor = control(CohortEngine).options(max_restarts=-1, max_concurrency=num_threads, **demand)
    return [actor.remote(data, plan) for _ in range(num_engines)]


class EngineWatch:
    """Places trials on the engines that are up, and drains all at the end. Any thread may call it.

    A trial that joins asks no engine for its load: the driver has all trials (docs/decisions/0017) and counts them, and
    which engines are up is asked beforehand.
    """

    def __init__(self, engines: Sequence[ActorHandle], num_trials: int) -> None:
        """`num_trials` are those that this driver has to run."""
        self.has_ended = False
        """Set at the end of the sweep, or of this driver: trials that still wait are to join no engine any more."""
        self._engines = list(engines)
        self._num_trials = num_trials
        self._changed = threading.Condition()
        self._asked: dict[ActorHandle, float] = {}
        """When each engine was asked whose answer is yet to come."""
        self._answers: dict[ActorHandle, str | ray.exceptions.RayError] = {}
        """Each engine's last: which process it is, or the error of one that is not up."""
        self._sure: set[ActorHandle] = set()
        """Those that have answered, if by an error, since the last loss of any: nodes are often lost together."""
        self._ending: dict[ActorHandle, str] = {}
        """Each engine's last process that is to end, and may answer until it has."""
        self._urgent = {engine: threading.Event() for engine in engines}
        """Set where an engine is to be asked at once."""
        self._members: dict[ActorHandle, set[str]] = {engine: set() for engine in engines}
        """The trials that have been placed on each engine."""
        self._places: defaultdict[str, set[ActorHandle]] = defaultdict(set)
        """The engines that may hold a trial: its own, and those that have not confirmed yet that they let it go."""
        self._shares: dict[ActorHandle, int] = {}
        """The trials that an engine is to have, while some are on their way to it."""
        self._opens = math.inf
        """From when on trials join without waiting for the answers of all engines."""

    def start(self) -> None:
        """Begin to ask the engines, each in a thread, until the sweep ends."""
        for engine in self._engines:
            threading.Thread(target=self._keep_asking, args=(engine,), name="engine watch", daemon=True).start()

    def end(self) -> None:
        """Let no trial join an engine any more; those that wait for one are told."""
        with self._changed:
            self.has_ended = True
            self._changed.notify_all()
        self._ask_all()

    def num_up(self) -> int:
        """How many engines are up, those included whose device has failed: they hold it until they end."""
        with self._changed:
            return sum(self._is_up(engine) for engine in self._engines)

    def place(self, trial_id: str) -> ActorHandle | None:
        """The engine for a trial to join: of those that are up, one with the fewest. None once the sweep has ended.

        All others that it has been with have let it go, or are gone: two would prune its epochs. Waits until an engine
        is up, as long as that takes, as a trial that trains by itself does. Raises an engine's error where none will
        ever be up again.
        """
        with self._changed:
            while not (free := self._free()) and not self.has_ended:
                if self._are_dead():
                    raise next(each for each in self._answers.values() if isinstance(each, ray.exceptions.RayError))
                wait_s = self._opens - time.monotonic()
                self._changed.wait(wait_s if 0 < wait_s < math.inf else None)
            if self.has_ended:
                return None
            chosen = min(free, key=lambda engine: len(self._members[engine]))
            self._members[chosen].add(trial_id)
            is_new = trial_id not in self._places
            others = self._places[trial_id] - {chosen}
            self._places[trial_id].add(chosen)
            self._expect(self._engines if is_new else [chosen])
        if others:
            self._part(trial_id, others)
        return None if self.has_ended else chosen

    def release(self, trial_id: str, engine: ActorHandle) -> None:
        """Have its engine let a trial go. That is not waited for: its checkpoints may take minutes to be stored."""
        with self._changed:
            self._members[engine].discard(trial_id)
            self._expect([engine])
        engine.leave.remote(trial_id)

    def doubt(self, engine: ActorHandle, *, is_ending: bool) -> None:
        """After a loss: place trials only on engines that answer from now on, and not on a process that is to end."""
        with self._changed:
            self._sure.clear()
            self._opens = time.monotonic() + ANSWER_DEADLINE_S
            process = self._answers.get(engine)
            if is_ending and isinstance(process, str):
                self._ending[engine] = process
            self._ask_all()

    def spread(self, num_live: int, num_slots: int) -> None:
        """Give each engine its share of the live trials, where one of them is idle or holds more than its slots.

        Nothing while a trial has no engine, or if the fullest would part with one. A trial that moves counts where it
        was until its uploads end, so shares are repeated until then.
        """
        with self._changed:
            loads = {engine: len(self._members[engine]) for engine in self._free()}
            # the fullest keep what is left over
            engines = sorted(loads, key=loads.__getitem__, reverse=True)
            filled, self._shares = [*self._shares], {}
            if _is_uneven([loads[engine] for engine in engines], num_live, num_slots):
                shares = {engine: math.ceil((num_live - index) / len(engines)) for index, engine in enumerate(engines)}
                if loads[engines[0]] > shares[engines[0]] + 1:
                    self._shares = {engine: share for engine, share in shares.items() if share > loads[engine]}
                    for engine in engines:
                        if shares[engine]:
                            engine.set_share.remote(shares[engine])
            self._expect({*filled, *self._shares})

    def drain(self, deadline_s: float = DRAIN_DEADLINE_S) -> None:
        """Wait until every checkpoint is in the store; StorageError where that fails or takes too long.

        An engine that died has none left to upload, and one whose node never came up has had none.
        """
        asked = {engine: engine.identify.remote() for engine in self._engines}
        answered, _ = ray.wait([*asked.values()], num_returns=len(asked), timeout=ANSWER_DEADLINE_S)
        # one that is up may be slow to answer
        drains = [
            engine.drain.remote()
            for engine, answer in asked.items()
            if isinstance(self._answers.get(engine), str) or (answer in answered and isinstance(_read(answer), str))
        ]
        # for all of them: the caller ends the engines at the first error
        ray.wait(drains, num_returns=len(drains), timeout=deadline_s)
        for drain in drains:
            try:
                ray.get(drain, timeout=0)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, CifarRayError):
                    raise error.cause from error
                raise
            except LOST:
                continue
            except ray.exceptions.GetTimeoutError as error:
                raise StorageError(
                    f"the last checkpoints have not arrived within {deadline_s:.0f} s",
                    "check the store, then resume",
                ) from error

    def _is_up(self, engine: ActorHandle) -> bool:
        """Whether an engine has answered, and not been silent since, with the lock held."""
        is_silent = time.monotonic() - self._asked.get(engine, math.inf) > SILENT_S
        return isinstance(self._answers.get(engine), str) and not is_silent

    def _free(self) -> list[ActorHandle]:
        """The engines that a trial may join now, with the lock held; none as long as others are waited for."""
        if len(self._sure) < len(self._engines) and time.monotonic() < self._opens:
            return []
        return [
            engine
            for engine in self._engines
            if engine in self._sure and self._is_up(engine) and self._answers[engine] != self._ending.get(engine)
        ]

    def _are_dead(self) -> bool:
        """Whether no engine will be up again, with the lock held."""
        return all(_is_final(self._answers.get(engine)) for engine in self._engines)

    def _expect(self, engines: Iterable[ActorHandle]) -> None:
        """Tell engines for how many trials to wait, where all of the sweep have been placed, with the lock held."""
        for engine in engines if len(self._places) == self._num_trials else ():
            engine.expect.remote(max(len(self._members[engine]), self._shares.get(engine, 0)))

    def _part(self, trial_id: str, others: Iterable[ActorHandle]) -> None:
        """Have engines let a trial go that was with them: one may only have been out of reach."""
        asked = {engine.leave.remote(trial_id): engine for engine in others}
        parted, _ = ray.wait([*asked], num_returns=len(asked), timeout=DRAIN_DEADLINE_S)
        # one that has ended holds none; one that is out of reach is asked again once it is back
        away = {answer for answer in parted if isinstance(_read(answer), ray.exceptions.ActorUnavailableError)}
        with self._changed:
            self._places[trial_id] -= {asked[answer] for answer in parted if answer not in away}

    def _keep_asking(self, engine: ActorHandle) -> None:
        while not self.has_ended:
            self._urgent[engine].clear()
            with self._changed:
                self._asked[engine] = time.monotonic()
            answer = _read(engine.identify.remote())
            with self._changed:
                del self._asked[engine]
                was_away = isinstance(self._answers.get(engine), ray.exceptions.RayError)
                self._answers[engine] = answer
                if not self._urgent[engine].is_set():
                    self._sure.add(engine)
                if isinstance(answer, str):
                    self._opens = min(self._opens, time.monotonic() + START_DEADLINE_S)
                if self._free() or self._are_dead():
                    self._changed.notify_all()
                if was_away and isinstance(answer, str):
                    self._recall(engine)
            self._urgent[engine].wait(ASK_PERIOD_S)

    def _recall(self, engine: ActorHandle) -> None:
        """Have an engine that was out of reach let those trials go that have left it, with the lock held."""
        for trial_id, places in self._places.items():
            if engine in places and trial_id not in self._members[engine]:
                engine.leave.remote(trial_id)

    def _ask_all(self) -> None:
        for urgent in self._urgent.values():
            urgent.set()

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        """Pickle as nothing: Ray Tune pickles all that it is given, into a state that nobody reads."""
        return object, ()


def _read(answer: ray.ObjectRef) -> str | ray.exceptions.RayError:
    """What an engine answers, such as which process it is, or the error of one that is not up."""
    try:
        return str(ray.get(answer))
    except ray.exceptions.RayError as error:
        return error


def _is_uneven(loads: Sequence[int], num_live: int, num_slots: int) -> bool:
    """Whether all live trials are with engines of these loads, the fullest first, and one is idle or over its slots."""
    return bool(loads) and sum(loads) == num_live and (loads[-1] == 0 or loads[0] > num_slots)


def _is_final(answer: str | ray.exceptions.RayError | None) -> bool:
    """Whether an engine will not be up again: no process of it could start, as where its working folder is missing."""
    is_lost = isinstance(answer, LOST) and not isinstance(answer, ray.exceptions.ActorDiedError)
    return isinstance(answer, ray.exceptions.RayError) and not is_lost
