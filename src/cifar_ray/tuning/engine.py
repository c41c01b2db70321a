"""The actor that trains a cohort: Ray Tune's trials join it, wait for their epochs, and leave."""

from __future__ import annotations

import os
import threading
import time
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import ray

from cifar_ray.errors import CifarRayError, DeviceError, NotAMemberError
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.patient_store import PatientStore
from cifar_ray.storage.uploading import DRAIN_DEADLINE_S
from cifar_ray.tuning.assignment import assigned_trial
from cifar_ray.tuning.standing import Standing

if TYPE_CHECKING:
    from cifar_ray.data.split import TrainingData
    from cifar_ray.training.learner import Learner

START_PATIENCE_S = 30.0
"""Seconds to wait, before the first pass or the first of a generation, for trials that are yet to join."""
FAILURE_DELIVERY_S = 5.0
"""Seconds for the trials of a pass to receive the device's failure, before the engine exits."""
PATIENCE_S = 5.0
"""Seconds to wait before any other pass, for Ray Tune's decisions and the trials that replace those it stopped."""
SHARE_VALID_S = 15.0
"""Seconds until a share lapses that the driver has not repeated: what it was computed from is then past."""

EpochOfPass = tuple[EpochMetrics, list[Standing]]


@dataclass(frozen=True, kw_only=True)
class EnginePlan:
    """What an engine needs to know besides the data."""

    sweep_id: str
    storage: str
    data_seed: int
    num_threads: int
    """CPU threads that it trains on."""
    num_slots: int
    """The most trials that it holds at once."""
    num_trials: int
    """Trials that it may expect in total."""


class CohortEngine:
    """Makes passes over the data for the trials that have joined. Every method may block its caller's thread.

    The driver imports this class, too, so whatever needs torch is imported where it is used.

    A pass begins when all members have asked for their next epoch and the free slots are filled, or when patience
    runs out: a late trial sits the pass out, and one that has not asked by then is no longer waited for.
    More trials than there are slots join while another engine waits for its node, and the end of a sweep leaves engines
    idle. So the driver may give each engine a share, beyond which it sends trials on to the others.
    """

    def __init__(self, data: TrainingData, plan: EnginePlan) -> None:
        from cifar_ray.training.cohort import Cohort  # noqa: PLC0415  # loads torch

        self._plan = plan
        # one for all trials: a client of S3 takes a quarter of a second of a core to create
        self._store = PatientStore(open_store(plan.storage))
        self._cohort = Cohort(data, data_seed=plan.data_seed, num_threads=plan.num_threads)
        self._changed = threading.Condition()
        self._members: dict[str, Learner] = {}
        self._process = uuid.uuid4().hex
        self._node = ray.util.get_node_ip_address()
        self._awaited: set[str] = set()
        self._ready: set[str] = set()
        self._in_pass: set[str] = set()
        self._outcomes: dict[str, EpochOfPass | Exception] = {}
        self._leaving: set[str] = set()
        self._seen: set[str] = set()
        self._share: int | None = None
        self._share_lapses = 0.0
        self._num_expected: int | None = None
        self._may_grow = True
        self._has_emptied = False
        self._has_failed = False
        self._failures: list[CifarRayError] = []
        self._patience_s = START_PATIENCE_S
        threading.Thread(target=self._make_passes, name="passes", daemon=True).start()

    @ray.method(concurrency_group="control")
    def identify(self) -> str:
        """Which process this is: Ray starts another after one that has ended. Until it is up, nobody answers."""
        return self._process

    def join(self, assignment: Mapping[str, Any]) -> list[EpochMetrics]:
        """Take a trial in; returns the metrics of the epochs that it already has. Raises what `Cohort.add` raises."""
        trial_id = assignment["trial_id"]
        if self._has_failed:
            # until the process exits, which is soon and does not count as a failure of the trial
            threading.Event().wait()
        with self._changed:
            # where an earlier try of the same trial was cut off in the middle of a pass
            self._changed.wait_for(lambda: trial_id not in self._ready and trial_id not in self._outcomes)
        # wait for that one's uploads, too: `add` would remove them as the remains of a killed process
        self.leave(trial_id)
        with self._changed:
            self._changed.wait_for(lambda: trial_id not in self._outcomes)
        learner = self._cohort.add(assigned_trial(assignment, self._store, self._plan.sweep_id))
        with self._changed:
            self._members[trial_id] = learner
            self._awaited.add(trial_id)
            self._seen.add(trial_id)
            self._changed.notify_all()
        # read from a checkpoint, they are of no node
        return [replace(line, node=line.node or self._node) for line in learner.history]

    def next_epoch(self, trial_id: str) -> EpochOfPass | None:
        """Wait for the trial's next epoch and the standings of all trials in its pass; None where it has no more.

        Raises the error that ended the pass; NotAMemberError where the trial has left, or joined before a restart.
        """
        with self._changed:
            # whoever goes on to another engine resumes from what this one stores
            self._changed.wait_for(lambda: trial_id not in self._leaving)
            if trial_id not in self._members:
                raise _not_a_member(trial_id)
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
        """Let a trial go and wait until its checkpoints are in the store; an error in that is left to `drain`."""
        with self._changed:
            if trial_id not in self._members:
                # it may be on its way out
                self._changed.wait_for(lambda: trial_id not in self._leaving)
                return
            outcome = _not_a_member(trial_id) if self._dismiss(trial_id) else None
        try:
            self._cohort.remove(trial_id)
        except CifarRayError as error:
            self._failures.append(error)
        finally:
            self._let_go(trial_id, outcome)

    @ray.method(concurrency_group="control")
    def set_share(self, share: int) -> None:
        """Begin the next pass with at most so many trials, and without waiting for more.

        The others leave, the last that joined first: each is told once its checkpoints are in the store.
        """
        with self._changed:
            self._share, self._share_lapses = share, time.monotonic() + SHARE_VALID_S
            self._changed.notify_all()

    @ray.method(concurrency_group="control")
    def expect(self, num_members: int) -> None:
        """Wait until it has so many trials, and for no others: the driver has placed all of the sweep."""
        with self._changed:
            self._num_expected = num_members
            self._changed.notify_all()

    def drain(self) -> None:
        """Let all trials go; raises the first error of any that left. To be called when no trial is left to run."""
        for trial_id in list(self._members):
            self.leave(trial_id)
        with self._changed:
            # trials that left earlier may still be waiting for the store
            self._changed.wait_for(lambda: not self._leaving)
        self._cohort.close()
        for error in self._failures:
            raise error

    def _dismiss(self, trial_id: str) -> bool:
        """Strike a member off, with the lock held; returns whether it waits for a pass that is yet to begin."""
        del self._members[trial_id]
        is_waiting = trial_id in self._ready - self._in_pass
        if is_waiting:
            self._ready.discard(trial_id)
        self._leaving.add(trial_id)
        self._awaited.discard(trial_id)
        self._may_grow = True
        if not self._members:
            self._has_emptied = True
        self._changed.notify_all()
        return is_waiting

    def _let_go(self, trial_id: str, outcome: Exception | None) -> None:
        """After its uploads, tell a dismissed trial that waits for a pass."""
        with self._changed:
            if outcome is not None:
                self._outcomes[trial_id] = outcome
            self._leaving.discard(trial_id)
            self._changed.notify_all()

    def _send_on(self) -> None:
        """Part with the waiting trials beyond a share, with the lock held."""
        if (share := self._valid_share()) is None:
            return
        waiting = [trial_id for trial_id in reversed(self._members) if trial_id in self._ready]
        for trial_id in waiting[: max(0, len(self._awaited) - share)]:
            self._dismiss(trial_id)
            # others may follow it here
            self._seen.discard(trial_id)
            threading.Thread(target=self._hand_over, args=(trial_id,), daemon=True).start()
        self._share, self._may_grow = None, False

    def _hand_over(self, trial_id: str) -> None:
        """Tell a dismissed trial to go on elsewhere, or why its checkpoints are not in the store."""
        outcome: CifarRayError = _not_a_member(trial_id)
        try:
            self._cohort.remove(trial_id)
        except CifarRayError as error:
            outcome = error
        finally:
            self._let_go(trial_id, outcome)

    def _make_passes(self) -> None:
        while True:
            trial_ids = self._wait_for_members()
            outcomes: dict[str, EpochOfPass | Exception]
            try:
                lines = self._cohort.train_epoch(trial_ids)
                standings = [Standing.of(line) for line in lines]
                # the epochs were trained on this node; the trials wait on the driver's
                epochs = {line.trial_id: (replace(line, node=self._node), standings) for line in lines}
                # a trial that left as the pass began has no epoch
                absent = {trial_id: _not_a_member(trial_id) for trial_id in trial_ids}
                outcomes = {**absent, **self._cohort.failures, **epochs}
            except Exception as error:  # noqa: BLE001  # raised again in the driver, for every trial of the pass
                # otherwise its frames would keep the device memory of this pass through the next one
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
        """Exit, so that Ray starts a process whose device has not failed for the trials that Ray Tune retries."""
        arriving = threading.Thread(target=self._cohort.close, daemon=True)
        arriving.start()
        time.sleep(FAILURE_DELIVERY_S)
        arriving.join(DRAIN_DEADLINE_S)
        os._exit(os.EX_SOFTWARE)

    def _wait_for_members(self) -> set[str]:
        """Wait for the members of the next pass; returns their ids, at least one."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._members)
                if not self._changed.wait_for(lambda: self._is_complete() or self._has_emptied, self._patience_s):
                    # trials that should have joined by now will not join soon; others may have joined another engine
                    self._may_grow = False
                    self._awaited &= self._ready
                self._changed.wait_for(lambda: self._ready or self._has_emptied)
                if self._has_emptied:
                    # a generation has ended: the trials of the next are waited for as the first ones were
                    self._has_emptied, self._share, self._patience_s = False, None, START_PATIENCE_S
                    continue
                self._send_on()
                if self._ready:
                    break
            self._patience_s = PATIENCE_S
            self._awaited, self._in_pass = set(self._ready), set(self._ready)
            return self._in_pass

    def _valid_share(self) -> int | None:
        return self._share if time.monotonic() < self._share_lapses else None

    def _is_complete(self) -> bool:
        """Whether waiting longer would bring no further trial."""
        is_full = self._num_to_come() <= 0 or not self._may_grow
        return is_full and bool(self._ready) and self._awaited <= self._ready

    def _num_to_come(self) -> int:
        if self._num_expected is not None:
            return self._num_expected - len(self._members)
        num_free = (self._valid_share() or self._plan.num_slots) - len(self._members)
        return min(num_free, self._plan.num_trials - len(self._seen))


def _not_a_member(trial_id: str) -> NotAMemberError:
    return NotAMemberError(f"{trial_id} is no member of its cohort", "join it again")
