"""How trials are spread over engines; the engines themselves, under real Ray, are in test_member.py."""

import pickle
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, call

import pytest
import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    RuntimeEnvSetupError,
)

from cifar_ray.errors import StorageError
from cifar_ray.tuning import engine_watch
from cifar_ray.tuning.engine_watch import SILENT_S, EngineWatch


def answering(watch: EngineWatch, *up: Any) -> None:
    """These have answered, and the others not."""
    watch._answers = {engine: f"process of {id(engine)}" for engine in up}
    watch._sure, watch._opens = set(up), 0.0


@pytest.mark.parametrize(
    ("loads", "num_live", "shares"),
    [
        ([32, 0], 32, [16, 16]),  # the second has got its node
        ([0, 7, 0], 7, [2, 3, 2]),
        ([15, 0, 0, 0], 15, [4, 4, 4, 3]),
        ([30, 2], 32, [16, 16]),  # over its slots
        ([4, 0], 4, [2, 2]),  # the second's have ended
        ([3, 0, 0, 0], 3, [1, 1, 1, None]),
        ([3, 0], 3, None),  # too few to be worth it
        ([14, 6], 20, None),  # neither is idle
        ([16, 0], 32, None),  # half have no engine yet
        ([0, 0], 0, None),
        ([32], 32, None),
        ([], 32, None),
    ],
)
def test_an_engine_gets_its_share(loads: list[int], num_live: int, shares: list[int | None] | None) -> None:
    engines = [MagicMock() for _ in loads]
    # one without a node
    watch = EngineWatch([*engines, MagicMock()], num_trials=num_live)
    answering(watch, *engines)
    watch._members |= {engine: {*map(str, range(load))} for engine, load in zip(engines, loads, strict=True)}
    watch.spread(num_live, num_slots=16)
    given = [[each.args for each in engine.set_share.remote.call_args_list] for engine in engines]
    assert given == [[] if share is None else [(share,)] for share in shares or [None] * len(loads)]


def test_engines_wait_for_no_more_once_all_trials_have_joined() -> None:
    first, second, *_ = engines = [MagicMock(), MagicMock(), MagicMock()]
    watch = EngineWatch(engines, num_trials=3)

    def join(trial_id: str, *up: Any) -> None:
        answering(watch, *up)
        for engines_of_it in watch._places.values():
            # they have let it go
            engines_of_it.clear()
        assert watch.place(trial_id) in up

    def told() -> list[list[int]]:
        given = [[each.args[0] for each in engine.expect.remote.call_args_list] for engine in engines]
        for engine in engines:
            engine.expect.remote.reset_mock()
        return given

    join("t0000", first, second)
    join("t0001", first, second)
    watch.release("t0000", first)
    join("t0000", first, second)
    assert told() == [[], [], []], "one is yet to come"
    join("t0002", first, second)
    assert told() == [[2], [1], [0]]
    watch.release("t0001", second)
    join("t0001", first)
    assert told() == [[3], [0], []], "the one that it has left, and the one that it joins"
    watch.release("t0001", first)
    assert told() == [[2], [], []]


def test_a_trial_is_placed_on_no_process_that_is_to_end() -> None:
    """Its device has failed, or it hangs: it may answer until it is gone."""
    failed, sound = engines = [MagicMock(), MagicMock()]
    watch = EngineWatch(engines, num_trials=4)
    answering(watch, *engines)
    assert watch.place("t0000") == failed
    watch.doubt(failed, is_ending=True)
    answering(watch, *engines)
    assert [watch.place(trial_id) for trial_id in ("t0001", "t0002")] == [sound, sound]
    assert watch.num_up() == 2, "it still holds its device"
    watch._answers[failed] = "the next process"
    assert watch.place("t0003") == failed


def test_after_a_loss_trials_are_placed_on_engines_that_have_answered_since() -> None:
    """Nodes are often lost together: each that is yet to be noticed would cost a trial one of its losses."""
    first, *_, third = engines = [MagicMock(), MagicMock(), MagicMock()]
    watch = EngineWatch(engines, num_trials=4)
    answering(watch, *engines)
    watch.doubt(first, is_ending=False)
    watch._sure.add(third)
    assert watch._free() == [], "the others may have answered in a moment, and all would go to one"
    watch._sure.add(first)
    watch._opens = 0.0
    del watch._answers[first]
    assert watch.place("t0000") == third


def test_a_trial_is_placed_on_no_engine_that_has_been_silent() -> None:
    silent, sound = engines = [MagicMock(), MagicMock()]
    watch = EngineWatch(engines, num_trials=4)
    answering(watch, *engines)
    watch._asked = {silent: time.monotonic() - SILENT_S - 1.0, sound: time.monotonic()}
    assert watch.place("t0000") == sound
    assert watch.num_up() == 1


def test_an_engine_waits_for_those_that_are_on_their_way_to_it() -> None:
    full, idle = engines = [MagicMock(), MagicMock()]
    watch = EngineWatch(engines, num_trials=8)
    answering(watch, full)
    for index in range(8):
        watch.place(f"t{index}")
    answering(watch, *engines)
    told = idle.expect.remote.call_args_list
    watch.spread(8, num_slots=16)
    assert (full.set_share.remote.call_args, told[-1]) == (call(4), call(4))
    assert full.expect.remote.call_args == call(8), "it waits for none, and parts with the last ones"
    watch.release("t0", full)
    watch._places["t0"].clear()
    assert watch.place("t0") == idle
    assert told[-1] == call(4)
    # the others have ended
    for index in range(1, 6):
        watch.release(f"t{index}", full)
    watch.spread(3, num_slots=16)
    assert told[-1] == call(1)


def test_all_that_a_trial_was_with_have_let_it_go_before_it_joins_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is to end: it may be uploading and pruning."""
    failed, sound = engines = [MagicMock(), MagicMock()]
    watch, waited = EngineWatch(engines, num_trials=4), list[Any]()

    def wait(answers: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        waited.extend(answers)
        return answers, []

    def get(answer: str) -> str:
        if len(waited) == 1:
            raise ActorUnavailableError("out of reach", None)
        return answer

    monkeypatch.setattr(engine_watch, "ray", SimpleNamespace(wait=wait, get=get, exceptions=ray.exceptions))
    failed.leave.remote.return_value, sound.leave.remote.return_value = "left", "left, too"
    answering(watch, *engines)
    assert watch.place("t0000") == failed
    watch.doubt(failed, is_ending=True)
    watch.release("t0000", failed)
    answering(watch, *engines)
    assert watch.place("t0000") == sound
    assert waited == ["left"]
    for _ in range(2):
        watch.release("t0000", sound)
        answering(watch, sound)
        assert watch.place("t0000") == sound
        assert waited == ["left", "left"], "again, since it was out of reach; once it has let it go, no more"


def test_an_engine_that_is_in_reach_again_lets_those_go_that_went_on_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would go on to upload and prune their epochs."""
    away, sound = engines = [MagicMock(), MagicMock()]
    watch = EngineWatch(engines, num_trials=3)
    answers: list[Any] = ["process", ActorUnavailableError("out of reach", None), "process", "process"]

    def wait(asked: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return [], asked

    def get(_: Any) -> str:
        answer = answers.pop(0)
        watch.has_ended = not answers
        if isinstance(answer, RayError):
            raise answer
        return str(answer)

    monkeypatch.setattr(engine_watch, "ray", SimpleNamespace(wait=wait, get=get, exceptions=ray.exceptions))
    monkeypatch.setattr(engine_watch, "ASK_PERIOD_S", 0.0)
    answering(watch, away)
    for trial_id in ("moved", "ended", "stayed"):
        assert watch.place(trial_id) == away
    for trial_id in ("moved", "ended"):
        watch.release(trial_id, away)
    answering(watch, sound)
    assert watch.place("moved") == sound
    away.leave.remote.reset_mock()
    watch._keep_asking(away)
    assert away.leave.remote.call_args_list == [call("moved"), call("ended")], "once, when it is back"


@pytest.mark.parametrize("error", [ActorDiedError(), RuntimeEnvSetupError("no working folder")])
def test_a_trial_whose_engines_will_never_be_up_ends_with_their_error(error: RayError) -> None:
    engines = [MagicMock(), MagicMock()]
    watch = EngineWatch(engines, num_trials=1)
    watch._answers = dict.fromkeys(engines, error)
    with pytest.raises(type(error)):
        watch.place("t0000")


@pytest.mark.parametrize("error", [ActorUnavailableError("restarting", None), OutOfMemoryError("no memory"), None])
def test_engines_that_may_come_back_are_waited_for(error: RayError | None) -> None:
    engines = [MagicMock(), MagicMock()]
    watch = EngineWatch(engines, num_trials=1)
    watch._answers = {engines[0]: ActorDiedError()} | ({} if error is None else {engines[1]: error})
    assert not watch._are_dead()


def test_all_engines_store_their_last_checkpoints_whichever_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, full, slow, nowhere = engines = [MagicMock(), MagicMock(), MagicMock(), MagicMock()]
    outcomes: dict[Any, Any] = {
        gone: ActorDiedError(),
        full: RayTaskError("drain", "", StorageError("the disk is full")),
        slow: None,
    }
    waited: list[Any] = []

    def get(answer: Any, timeout: float | None = None) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return True

    def wait(answers: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        waited.append(answers)
        return [each for each in answers if each not in (slow.identify.remote(), nowhere.identify.remote())], []

    for engine in engines:
        engine.identify.remote.return_value = f"process of {id(engine)}"
        engine.drain.remote.return_value = outcomes.get(engine)
    monkeypatch.setattr(engine_watch, "ray", SimpleNamespace(get=get, wait=wait, exceptions=ray.exceptions))
    watch = EngineWatch(engines, num_trials=1)
    answering(watch, slow)
    with pytest.raises(StorageError, match="the disk is full"):
        watch.drain()
    assert waited[1] == list(outcomes.values()), "at the first error their processes are ended"
    assert not nowhere.drain.remote.called


def test_ray_tune_pickles_it() -> None:
    pickle.dumps(EngineWatch([], num_trials=1))
