"""How trials are spread over engines; the engines themselves, under real Ray, are in test_member.py."""

import pickle
from unittest.mock import MagicMock

import pytest

from cifar_ray.tuning.engine_watch import EngineWatch


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
        ([16, 0], 32, None),  # the second's next are on their way
        ([0, 0], 0, None),
        ([32], 32, None),
        ([], 32, None),
    ],
)
def test_an_engine_gets_its_share(loads: list[int], num_live: int, shares: list[int | None] | None) -> None:
    engines = [MagicMock() for _ in loads]
    # one without a node
    watch = EngineWatch([*engines, MagicMock()], num_trials=num_live)
    watch._up = set(engines)
    watch._members |= {engine: {*map(str, range(load))} for engine, load in zip(engines, loads, strict=True)}
    watch.spread(num_live, num_slots=16)
    given = [[each.args for each in engine.set_share.remote.call_args_list] for engine in engines]
    assert given == [[] if share is None else [(share,)] for share in shares or [None] * len(loads)]


def test_engines_wait_for_no_more_once_all_trials_have_joined() -> None:
    first, second, *_ = engines = [MagicMock(), MagicMock(), MagicMock()]
    watch = EngineWatch(engines, num_trials=3)
    watch._up = {first, second}
    watch._opens = 0.0

    def join(trial_id: str) -> None:
        engine = watch.place(trial_id)
        assert engine is not None
        watch.note_joined(trial_id, engine)

    def expected() -> list[list[int]]:
        return [[each.args[0] for each in engine.expect.remote.call_args_list] for engine in engines]

    join("t0000")
    join("t0001")
    watch.release("t0000", first)
    join("t0000")
    assert expected() == [[], [], []], "one is yet to come"
    join("t0002")
    assert expected() == [[2], [1], []], "an idle one waits for the first that come to it"
    watch.release("t0001", second)
    watch._up = {first}
    join("t0001")
    assert expected() == [[2, 3], [1], []], "of one that was lost with its node, and tells a new process, too"


def test_ray_tune_pickles_it() -> None:
    pickle.dumps(EngineWatch([], num_trials=1))
