"""How trials are spread over engines; the engines themselves, under real Ray, are in test_member.py."""

from functools import partial
from unittest.mock import MagicMock

import pytest

from cifar_ray.tuning.engine_watch import EngineWatch


@pytest.mark.parametrize(
    ("loads", "num_live", "shares"),
    [
        ([32, 0], 32, [16, 16]),  # the second has got its node
        ([0, 7, 0], 7, [2, 3, 2]),
        ([30, 2], 32, [16, 16]),  # over its places
        ([4, 0], 4, [2, 2]),  # the second's have ended
        ([3, 0], 3, None),  # too few to be worth it
        ([14, 6], 20, None),  # neither is idle
        ([16, 0], 32, None),  # the second's next are on their way
        ([0, 0], 0, None),
        ([32], 32, None),
        ([], 32, None),
    ],
)
def test_an_engine_gets_its_share(loads: list[int], num_live: int, shares: list[int] | None) -> None:
    given: dict[int, int | None] = {}
    watch = EngineWatch([])
    for index, load in enumerate(loads):
        engine = MagicMock()
        engine.set_share.remote = partial(given.__setitem__, index)
        watch._loads[engine] = load
    watch.spread(num_live, num_slots=16)
    assert [given[index] for index in range(len(loads))] == (shares or [None] * len(loads))
