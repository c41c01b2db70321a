"""Runs the trials of cohorts for Ray Tune as threads of the driver, since each only waits for its engine."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ray import tune
from ray.exceptions import RayTaskError

from cifar_ray.tuning.engine_watch import EngineWatch
from cifar_ray.tuning.member import Member

Handler = Callable[["MemberThread", Any], None]


class CohortTrial(tune.Trainable):
    """Stands for the trials of cohorts in Ray Tune, which takes nothing else. What runs is a `Member`."""


class MemberThread(threading.Thread):
    """A trial's thread, which Ray Tune takes for an actor. It makes the calls that Ray Tune schedules, in order."""

    def __init__(self, member: Member, on_stop: Callable[[MemberThread], None]) -> None:
        super().__init__(name=f"member {member.trial_id}", daemon=True)
        self.member = member
        self.on_stop = on_stop
        self.is_awaited = True
        """Whether Ray Tune is to be told what its calls return."""
        self.calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def run(self) -> None:
        """Make the calls, up to a None."""
        for call in iter(self.calls.get, None):
            call()


class MemberThreads:
    """Stands in for Ray Tune's `RayActorManager`, with those parts of it that Ray Tune's controller uses.

    `next`, in the controller's own thread, tells it of what happened in the others.
    """

    num_pending_actors = 0
    """None waits for resources: only the engines do."""

    def __init__(self, watch: EngineWatch) -> None:
        self._watch = watch
        self._live_actors_to_ray_actors_resources: dict[MemberThread, tuple[None, None]] = {}
        """Of each trial that Ray Tune has not removed, Ray's handle to its actor and its resources: it has neither."""
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    @property
    def num_live_actors(self) -> int:
        """How many trials Ray Tune has not removed."""
        return len(self._live_actors_to_ray_actors_resources)

    num_total_actors = num_actor_tasks = num_live_actors

    def is_actor_started(self, tracked_actor: MemberThread) -> bool:
        """Whether Ray Tune has not removed it."""
        return tracked_actor in self._live_actors_to_ray_actors_resources

    def is_actor_failed(self, tracked_actor: MemberThread) -> bool:
        """Threads do not die."""
        return False

    def add_actor(
        self,
        *,
        kwargs: Mapping[str, Any],
        on_start: Callable[[MemberThread], None],
        on_stop: Callable[[MemberThread], None],
        **_: object,
    ) -> MemberThread:
        """Start a trial; `kwargs` are those of a `Trainable`: "config" is the trial's assignment, with more notes."""
        assignment = {name: value for name, value in kwargs["config"].items() if not name.startswith("__")}
        thread = MemberThread(Member(assignment, self._watch), on_stop)
        self._live_actors_to_ray_actors_resources[thread] = (None, None)
        thread.start()
        self._events.put(partial(self._tell, thread, on_start))
        return thread

    def schedule_actor_task(
        self,
        tracked_actor: MemberThread,
        method_name: str,
        *,
        on_result: Handler | None = None,
        on_error: Handler | None = None,
        **_: object,
    ) -> None:
        """Have the trial's thread call a method of `Member`, of which "stop" is the last."""

        def call() -> None:
            try:
                event = partial(self._tell, tracked_actor, on_result, getattr(tracked_actor.member, method_name)())
            except Exception as error:  # noqa: BLE001  # Ray Tune decides whether the trial is tried again
                event = partial(self._tell, tracked_actor, on_error, _as_of_a_task(method_name, error))
            self._events.put(event)

        tracked_actor.calls.put(call)
        if method_name == "stop":
            tracked_actor.calls.put(lambda: self._events.put(partial(self._forget, tracked_actor)))
            tracked_actor.calls.put(None)

    def clear_actor_task_futures(self, tracked_actor: MemberThread) -> None:
        """Tell Ray Tune nothing more of what its calls return."""
        tracked_actor.is_awaited = False

    def remove_actor(self, tracked_actor: MemberThread, *, kill: bool = False, **_: object) -> bool:
        """Forget a trial after its last call, or, to `kill` it, without waiting for that."""
        if kill:
            # not here: the controller, which calls this, would remove it from its own list twice
            self._events.put(partial(self._forget, tracked_actor))
        return self.is_actor_started(tracked_actor)

    def next(self, timeout: float | None = None) -> bool:
        """Tell Ray Tune of the next event; whether there was one within `timeout` seconds."""
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return False
        event()
        return True

    def cleanup(self) -> None:
        """Forget all trials."""
        for thread in list(self._live_actors_to_ray_actors_resources):
            self._forget(thread)

    def get_live_actors_resources(self) -> dict[str, float]:
        """What trials hold of the cluster."""
        return {}

    def _tell(self, thread: MemberThread, handler: Callable[..., None] | None, *outcome: object) -> None:
        if thread.is_awaited and handler is not None:
            handler(thread, *outcome)

    def _forget(self, thread: MemberThread) -> None:
        if self._live_actors_to_ray_actors_resources.pop(thread, None) is not None:
            thread.on_stop(thread)


def _as_of_a_task(method_name: str, error: Exception) -> RayTaskError:
    """As an actor would raise it, with its type and its traceback, which the trial's record is made from."""
    return error if isinstance(error, RayTaskError) else RayTaskError(method_name, traceback.format_exc(), error)
