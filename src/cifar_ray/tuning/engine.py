"""The actor that trains a cohort: Ray Tune's trials join it, wait for their epochs, and leave."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import ray
from ray.actor import ActorHandle

from cifar_ray.errors import CifarRayError, DeviceError, NotAMemberError, StorageError
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.uploading import DRAIN_DEADLINE_S
from cifar_ray.tuning.assignment import assigned_trial
from cifar_ray.tuning.standing import Standing

if TYPE_CHECKING:
    from cifar_ray.data.split import TrainingData
    from cifar_ray.training.learner import Learner

START_PATIENCE_S = 30.0
"""Before the first pass of all, or of a generation: how long to wait for trials whose processes are still starting."""
HEARING_S = 5.0
"""For the trials of a pass to hear that the device has failed, before the engine ends."""
PATIENCE_S = 5.0
"""Before any other: for Ray Tune's decisions, and for the trials that follow on those it stopped."""
ANSWER_DEADLINE_S = 10.0
"""For an engine to show that it lives, when all are drained: one that waits for a node never does."""


EpochOfPass = tuple[EpochMetrics, list[Standing]]


@dataclass(frozen=True, kw_only=True)
class EnginePlan:
    """What an engine needs to know besides the data."""

    sweep_id: str
    storage: str
    data_seed: int
    num_threads: int
    """Of its CPU."""
    num_slots: int
    """Trials that it holds at once."""
    num_trials: int
    """Trials that it may expect in all."""


class CohortEngine:
    """Makes passes over the data for whoever has joined. Every method may block its caller's thread.

    Ray loads this class wherever a handle of its actor arrives, the light processes of the trials among them: so what
    needs torch is loaded where it is used.

    A pass begins when all that have joined ask for their next epoch and the free slots are filled, or when
    patience ends: a trial that is late sits the pass out, and one whose process died is waited for no more.
    """

    def __init__(self, data: TrainingData, plan: EnginePlan) -> None:
        from cifar_ray.training.cohort import Cohort  # noqa: PLC0415  # loads torch

        self._plan = plan
        self._cohort = Cohort(data, data_seed=plan.data_seed, num_threads=plan.num_threads)
        self._changed = threading.Condition()
        self._members: dict[str, Learner] = {}
        self._node = ray.util.get_node_ip_address()
        self._awaited: set[str] = set()
        self._ready: set[str] = set()
        self._in_pass: set[str] = set()
        self._outcomes: dict[str, EpochOfPass | Exception] = {}
        self._leaving: set[str] = set()
        self._seen: set[str] = set()
        self._may_grow = True
        self._has_emptied = False
        self._has_failed = False
        self._failures: list[CifarRayError] = []
        self._patience_s = START_PATIENCE_S
        threading.Thread(target=self._make_passes, name="passes", daemon=True).start()

    def num_members(self) -> int:
        """Trials that it holds; more than any other once its device has failed."""
        return sys.maxsize if self._has_failed else len(self._members)

    def join(self, assignment: Mapping[str, Any]) -> list[EpochMetrics]:
        """Take a trial in; gives the metrics of the epochs that it has already. Errors as `Cohort.add` raises them."""
        trial_id = assignment["trial_id"]
        if self._has_failed:
            # its end, which is near, is a loss that costs the trial nothing
            threading.Event().wait()
        with self._changed:
            # the same trial's earlier process died in the middle of a pass
            self._changed.wait_for(lambda: trial_id not in self._ready and trial_id not in self._outcomes)
        # and what that one still uploads is no rest of a process that was killed, to be removed
        self.leave(trial_id)
        with self._changed:
            self._changed.wait_for(lambda: trial_id not in self._leaving)
        learner = self._cohort.add(assigned_trial(assignment, self._plan.storage, self._plan.sweep_id))
        with self._changed:
            self._members[trial_id] = learner
            self._awaited.add(trial_id)
            self._seen.add(trial_id)
            self._changed.notify_all()
        return list(learner.history)

    def next_epoch(self, trial_id: str) -> EpochOfPass | None:
        """Wait for the trial's next epoch, and how all of its pass stand; None where it has no more.

        Raises what ended the pass; NotAMemberError where the trial has joined a process before this one.
        """
        with self._changed:
            if trial_id not in self._members:
                raise _stranger(trial_id)
            if self._members[trial_id].is_finished:
                return None
            self._awaited.add(trial_id)
            self._ready.add(trial_id)
            self._changed.notify_all()
            self._changed.wait_for(lambda: trial_id in self._outcomes)
            outcome = self._outcomes.pop(trial_id)
            self._changed.notify_all()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def leave(self, trial_id: str) -> None:
        """Let a trial go, once its checkpoints have arrived; what prevents that is for `drain` to raise."""
        with self._changed:
            if self._members.pop(trial_id, None) is None:
                return
            if trial_id in self._ready - self._in_pass:
                self._ready.discard(trial_id)
                self._outcomes[trial_id] = _stranger(trial_id)
            self._leaving.add(trial_id)
            self._awaited.discard(trial_id)
            self._may_grow = True
            if not self._members:
                self._has_emptied = True
            self._changed.notify_all()
        try:
            self._cohort.remove(trial_id)
        except CifarRayError as error:
            self._failures.append(error)
        finally:
            with self._changed:
                self._leaving.discard(trial_id)
                self._changed.notify_all()

    def drain(self) -> None:
        """Let all go; raises the first error of any that left. To be called when no trial is left to run."""
        for trial_id in list(self._members):
            self.leave(trial_id)
        with self._changed:
            # those that left before, and wait for the store still
            self._changed.wait_for(lambda: not self._leaving)
        self._cohort.close()
        for error in self._failures:
            raise error

    def _make_passes(self) -> None:
        while True:
            trial_ids = self._wait_for_members()
            outcomes: dict[str, EpochOfPass | Exception]
            try:
                lines = self._cohort.train_epoch(trial_ids)
                standings = [Standing.of(line) for line in lines]
                # the members' own nodes train nothing
                epochs = {line.trial_id: (replace(line, node=self._node), standings) for line in lines}
                # who left as the pass began
                outcomes = {trial_id: epochs.get(trial_id) or _stranger(trial_id) for trial_id in trial_ids}
            except Exception as error:  # noqa: BLE001  # raised again in the process of every trial of the pass
                # else it holds, through the next pass, all that this one had on the device
                traceback.clear_frames(error.__traceback__)
                outcomes = dict.fromkeys(trial_ids, error)
            with self._changed:
                self._has_failed = any(isinstance(each, DeviceError) for each in outcomes.values())
                self._ready -= outcomes.keys()
                self._in_pass = set()
                self._outcomes |= outcomes
                self._changed.notify_all()
            if self._has_failed:
                self._end()

    def _end(self) -> NoReturn:
        """The trials that Ray Tune lets try again are to find a process whose device has not failed: Ray starts one."""
        arriving = threading.Thread(target=self._cohort.close, daemon=True)
        arriving.start()
        time.sleep(HEARING_S)
        arriving.join(DRAIN_DEADLINE_S)
        os._exit(os.EX_SOFTWARE)

    def _wait_for_members(self) -> set[str]:
        """Those to make the next pass with, at least one."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._members)
                if not self._changed.wait_for(lambda: self._is_complete() or self._has_emptied, self._patience_s):
                    # whoever should have come since does not come soon
                    self._may_grow = False
                self._changed.wait_for(lambda: self._ready or self._has_emptied)
                if not self._has_emptied:
                    break
                # a generation has ended: those that follow are waited for as the first were
                self._has_emptied, self._patience_s = False, START_PATIENCE_S
            self._patience_s = PATIENCE_S
            self._awaited, self._in_pass = set(self._ready), set(self._ready)
            return self._in_pass

    def _is_complete(self) -> bool:
        """Whether waiting longer would bring nobody else."""
        num_to_come = min(self._plan.num_slots - len(self._members), self._plan.num_trials - len(self._seen))
        is_full = num_to_come <= 0 or not self._may_grow
        return is_full and bool(self._ready) and self._awaited <= self._ready


def _stranger(trial_id: str) -> NotAMemberError:
    return NotAMemberError(f"{trial_id} is no member of its cohort", "join it anew")


def start_engines(
    num_engines: int, data: ray.ObjectRef, plan: EnginePlan, demand: Mapping[str, Any]
) -> list[ActorHandle]:
    """Actors on the connected cluster, which Ray starts anew if they die, as long as `data` is held."""
    # a thread for each trial that waits, those of another engine that was lost among them, and some for those that
    # come and go
    num_threads = 4 * plan.num_slots + 4
    actor = ray.remote(CohortEngine).options(max_restarts=-1, max_concurrency=num_threads, **demand)
    return [actor.remote(data, plan) for _ in range(num_engines)]


def drain_engines(engines: Sequence[ActorHandle]) -> None:
    """Wait until every checkpoint has arrived; StorageError where they cannot.

    An engine that died has none left, and one whose node has never come has had none.
    """
    asked = {engine.num_members.remote(): engine for engine in engines}
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_DEADLINE_S)
    for engine in map(asked.__getitem__, answered):
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
                f"the last checkpoints have not arrived within {DRAIN_DEADLINE_S:.0f} s", "check the store, then resume"
            ) from error
