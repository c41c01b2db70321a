"""Trials of cohorts as threads, in place of Ray Tune's actors. tests/tuning/test_member.py has real sweeps."""

import inspect
import math
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, call

import pytest
import ray
from ray.exceptions import ActorDiedError, GetTimeoutError, RayTaskError
from ray.tune.execution.tune_controller import TuneController

from cifar_ray.errors import DeviceError, NotAMemberError
from cifar_ray.records import EpochMetrics
from cifar_ray.tuning import member as member_module
from cifar_ray.tuning import member_threads
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.ledger import _reason
from cifar_ray.tuning.member import MAX_LOSSES, Member
from cifar_ray.tuning.member_threads import MemberThread, MemberThreads

WATCH: Any = object()
CONFIG = {"trial_id": "t0000", "__trial_info__": "of Ray Tune"}


class FakeMember:
    """Waits as it is told to."""

    made: "list[FakeMember]"

    def __init__(self, assignment: dict[str, Any], watch: object) -> None:
        self.assignment, self.watch = assignment, watch
        self.trial_id = assignment["trial_id"]
        self.may_go_on, self.called = threading.Event(), list[str]()
        self.made.append(self)

    def train(self) -> str:
        self.called.append("train")
        assert self.may_go_on.wait(60)
        if len(self.called) > 1:
            raise ValueError("a bug")
        return "epoch"

    def stop(self) -> None:
        self.called.append("stop")


class Controller:
    """As Ray Tune's: told of everything in its own thread."""

    def __init__(self) -> None:
        self.manager, self.told = MemberThreads(WATCH), list[Any]()
        self.actor: Any = self.manager.add_actor(
            cls=object,
            resource_request=None,
            kwargs={"config": CONFIG, "storage": "of Ray Tune"},
            on_start=lambda actor: self.told.append("started"),
            on_stop=lambda actor: self.told.append("stopped"),
        )
        (self.member,) = FakeMember.made
        assert self.manager.next(timeout=60)

    def tell(self, actor: MemberThread, outcome: object) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.told.append(outcome)

    def schedule(self, method: str) -> None:
        self.manager.schedule_actor_task(self.actor, method, args=(), on_result=self.tell, on_error=self.tell)

    def remove(self) -> bool:
        self.manager.schedule_actor_task(self.actor, "stop", _return_future=True)
        return self.manager.remove_actor(self.actor, kill=False, stop_future=None)

    def hear(self) -> None:
        """All that is still to come, once the thread has ended."""
        self.actor.join(60)
        assert not self.actor.is_alive()
        while self.manager.next(timeout=0):
            pass


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Iterator[Controller]:
    FakeMember.made = []
    monkeypatch.setattr(member_threads, "Member", FakeMember)
    made = Controller()
    yield made
    made.member.may_go_on.set()


def test_a_trial_is_called_and_told_of_in_order(controller: Controller) -> None:
    assert controller.member.assignment == {"trial_id": "t0000"}, "without what Ray Tune adds"
    assert controller.member.watch is WATCH
    controller.schedule("train")
    assert not controller.manager.next(timeout=0.1), "it waits"
    controller.member.may_go_on.set()
    assert controller.manager.next(timeout=60)
    controller.schedule("train")
    assert controller.manager.next(timeout=60)
    started, epoch, error = controller.told
    assert (started, epoch) == ("started", "epoch")
    # as from an actor: Ray Tune's file of the trial's failures has the type, and so has our record
    assert isinstance(error, RayTaskError)
    assert isinstance(error.as_instanceof_cause(), ValueError)
    assert _reason(str(error)) == "ValueError: a bug"
    assert controller.manager.is_actor_started(controller.actor)
    assert controller.remove()
    controller.hear()
    assert controller.told[3:] == ["stopped"]
    assert controller.manager.num_live_actors == 0
    assert not controller.remove(), "it has been"


def test_a_trial_that_waits_is_stopped_after_that(controller: Controller) -> None:
    controller.schedule("train")
    controller.manager.clear_actor_task_futures(controller.actor)
    controller.remove()
    assert not controller.manager.next(timeout=0.1)
    controller.member.may_go_on.set()
    controller.hear()
    assert controller.member.called == ["train", "stop"]
    assert controller.told == ["started", "stopped"], "nothing of the epoch"


def test_a_trial_that_waits_at_the_end_of_a_sweep_is_given_up(controller: Controller) -> None:
    """By Ray Tune's own code."""
    controller.schedule("train")
    controller.manager.clear_actor_task_futures(controller.actor)
    ending: Any = SimpleNamespace(
        _actor_manager=controller.manager,
        _stopping_actors={},
        _earliest_stopping_actor=float("inf"),
        _actor_cleanup_timeout=600,
        _actor_force_cleanup_timeout=0,
    )
    controller.actor.on_stop = lambda actor: (
        ending._stopping_actors.pop(actor, None),
        controller.told.append("stopped"),
    )
    TuneController._remove_actor(ending, controller.actor)
    TuneController._cleanup_stopping_actors(ending, force_all=True)
    controller.manager.cleanup()
    assert controller.manager.num_total_actors == controller.manager.num_actor_tasks == 0
    controller.member.may_go_on.set()
    controller.hear()
    assert controller.told == ["started", "stopped"], "once"


def test_it_has_what_the_controller_uses() -> None:
    """Ray's private names: a version that uses more of them would fail in the middle of a sweep."""
    source = inspect.getsource(TuneController)
    used = set(re.findall(r"_actor_manager\s*\.(\w+)", source))
    # for the export of a model, which is not asked for
    missing = {name for name in used if not hasattr(MemberThreads(WATCH), name)} - {"_actor_task_events"}
    assert len(used) > 10
    assert not missing


class LosingWatch:
    """Of an engine that loses each trial that joins it."""

    def __init__(self, ends_after: float) -> None:
        self.joined = list[str]()
        self._ends_after = ends_after

    @property
    def has_ended(self) -> bool:
        return len(self.joined) >= self._ends_after

    def place(self, trial_id: str) -> str | None:
        return None if self.has_ended else "an engine"

    def lose(self, engine: str) -> None:
        self.joined.append(engine)
        raise NotAMemberError("no member")


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_trial_that_waits_as_its_sweep_ends_joins_no_engine_again(
    monkeypatch: pytest.MonkeyPatch, has_ended: bool
) -> None:
    watch: Any = LosingWatch(ends_after=1 if has_ended else math.inf)
    monkeypatch.setattr(Member, "_epochs_of", lambda each, engine: watch.lose(engine))
    trial = Member(assign("t0000", {}), watch)
    if has_ended:
        assert trial.train() == {"__duplicate__": True}
        assert len(watch.joined) == 1
    else:
        with pytest.raises(NotAMemberError):
            trial.train()
        assert len(watch.joined) == MAX_LOSSES + 1


def test_an_epoch_ends_a_row_of_lost_nodes(monkeypatch: pytest.MonkeyPatch, epoch_metrics: list[EpochMetrics]) -> None:
    num_epochs = 2 * MAX_LOSSES
    lines = [replace(epoch_metrics[0], epoch=number) for number in range(1, num_epochs + 1)]
    watch: Any = LosingWatch(ends_after=math.inf)

    def epochs_of(member: Member, engine: object) -> Iterator[tuple[EpochMetrics, list[Any]]]:
        """Those that there are from its checkpoints, and one more before its node is lost."""
        num_joined = len(watch.joined)
        for line in lines[: num_joined + 1]:
            yield line, []
        if num_joined < num_epochs:
            watch.lose(engine)

    monkeypatch.setattr(Member, "_epochs_of", epochs_of)
    trial = Member(assign("t0000", {}), watch)
    assert [trial.train()["training_iteration"] for _ in lines] == [line.epoch for line in lines]


@pytest.mark.parametrize("method", ["join", "next_epoch"])
@pytest.mark.parametrize(
    ("error", "done"),
    [
        (NotAMemberError("sent on"), ["release"]),
        (ValueError("a bug"), ["release"]),
        (DeviceError("CUDA error"), ["doubt the process", "release"]),
        (ActorDiedError(), ["doubt", "release"]),
        (GetTimeoutError("no epoch"), ["kill", "doubt the process", "release"]),
    ],
)
def test_an_engine_that_fails_a_trial_is_doubted(
    monkeypatch: pytest.MonkeyPatch, method: str, error: Exception, done: list[str]
) -> None:
    """Unless the fault is not its own; one that hangs is killed before it is asked whether it is up."""

    def get(called: str, timeout: float) -> list[Any]:
        assert timeout == member_module.DEADLINE_S
        if called == method:
            raise error
        return []

    engine = MagicMock()
    engine.join.remote.return_value, engine.next_epoch.remote.return_value = "join", "next_epoch"
    watch, called = MagicMock(), list[str]()
    watch.doubt.side_effect = lambda engine, is_ending: called.append("doubt" + " the process" * is_ending)
    watch.release.side_effect = lambda trial_id, engine: called.append("release")
    kill = MagicMock(side_effect=lambda engine, no_restart: called.append("kill"))
    monkeypatch.setattr(member_module, "ray", SimpleNamespace(get=get, kill=kill, exceptions=ray.exceptions))
    with pytest.raises(type(error)):
        list(Member(assign("t0000", {}), watch)._epochs_of(engine))
    assert called == done
    assert kill.call_args_list == [call(engine, no_restart=False)] * done.count("kill")
