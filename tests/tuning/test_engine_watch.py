"""How trials are spread over engines; the engines themselves, under real Ray, are in test_member.py."""

import sys
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
        ([sys.maxsize, 4], 4, None),  # a device has failed
        ([0, 0], 0, None),
        ([32], 32, None),
        ([], 32, None),
    ],
)
def test_an_engine_gets_its_share(
    loads: list[int], num_live: int, shares: list[int | None] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = EngineWatch([], num_trials=num_live)
    watch._loads = {MagicMock(): load for load in loads}
    monkeypatch.setattr(watch, "up", lambda: list(watch._loads))
    watch.spread(num_live, num_slots=16)
    given = [[each.args for each in engine.set_share.remote.call_args_list] for engine in watch._loads]
    assert given == [[] if share is None else [(share,)] for share in shares or [None] * len(loads)]


def test_engines_wait_for_no_more_once_all_trials_have_joined() -> None:
    engines = [MagicMock(), MagicMock()]
    watch = EngineWatch(engines, num_trials=2)
    assert not watch.has_begun
    for trial_id in ("t0000", "t0000", "t0001", "t0000"):
        assert not any(engine.expect_none.remote.called for engine in engines) or trial_id == "t0000"
        watch.note_joined(trial_id)
    assert watch.has_begun
    assert [engine.expect_none.remote.call_count for engine in engines] == [1, 1], "not at a trial's second try"
