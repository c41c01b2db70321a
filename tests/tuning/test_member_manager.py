"""Trials of cohorts as threads, in place of Ray Tune's actors. tests/tuning/test_member.py has real sweeps."""

import inspect
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ray.tune.execution.tune_controller import TuneController

from cifar_ray.tuning import member_manager
from cifar_ray.tuning.member_manager import MemberManager, MemberThread

CONFIG = {"trial_id": "t0000", "__trial_info__": "of Ray Tune"}


class FakeMember:
    """Waits as it is told to."""

    made: "list[FakeMember]"

    def __init__(self, assignment: dict[str, Any], engines: object) -> None:
        self.assignment, self.engines = assignment, engines
        self.may_go_on, self.called, self.is_abandoned = threading.Event(), list[str](), False
        self.made.append(self)

    def train(self) -> str:
        self.called.append("train")
        assert self.may_go_on.wait(60)
        if len(self.called) > 1:
            raise ValueError("a bug")
        return "epoch"

    def stop(self) -> None:
        self.called.append("stop")

    def abandon(self) -> None:
        self.is_abandoned = True


class Controller:
    """As Ray Tune's: told of everything in its own thread."""

    def __init__(self) -> None:
        self.manager, self.told = MemberManager(["an engine"]), list[Any]()  # type: ignore[list-item]
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
    monkeypatch.setattr(member_manager, "Member", FakeMember)
    made = Controller()
    yield made
    made.member.may_go_on.set()


def test_a_trial_is_called_and_told_of_in_order(controller: Controller) -> None:
    assert controller.member.assignment == {"trial_id": "t0000"}, "without what Ray Tune adds"
    assert controller.member.engines == ["an engine"]
    controller.schedule("train")
    assert not controller.manager.next(timeout=0.1), "it waits"
    controller.member.may_go_on.set()
    assert controller.manager.next(timeout=60)
    controller.schedule("train")
    assert controller.manager.next(timeout=60)
    started, epoch, error = controller.told
    assert (started, epoch, str(error)) == ("started", "epoch", "a bug")
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


@pytest.mark.parametrize(
    "end",
    [
        lambda controller: controller.manager.remove_actor(controller.actor, kill=True),
        lambda controller: controller.manager.cleanup(),
    ],
    ids=["killed", "cleaned up"],
)
def test_a_trial_that_waits_too_long_is_forgotten(controller: Controller, end: Callable[[Controller], object]) -> None:
    controller.schedule("train")
    controller.manager.clear_actor_task_futures(controller.actor)
    controller.remove()
    end(controller)
    assert controller.told == ["started", "stopped"]
    assert controller.member.is_abandoned, "or it would join another engine"
    assert controller.manager.num_total_actors == controller.manager.num_actor_tasks == 0
    controller.member.may_go_on.set()
    controller.hear()
    assert controller.told == ["started", "stopped"], "once"


def test_it_has_what_the_controller_uses() -> None:
    """Ray's private names: a version that uses more of them would fail in the middle of a sweep."""
    source = inspect.getsource(TuneController)
    used = set(re.findall(r"_actor_manager\s*\.(\w+)", source))
    # for the export of a model, which is not asked for
    missing = {name for name in used if not hasattr(MemberManager([]), name)} - {"_actor_task_events"}
    assert len(used) > 10
    assert not missing
