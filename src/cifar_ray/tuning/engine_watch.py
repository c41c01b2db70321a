"""Which engines of a sweep have their nodes: of its cohorts' trials, which run anywhere, Ray Tune knows no more."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import ray
from ray.actor import ActorHandle


class EngineWatch:
    """Asks each engine again and again, and waits for none."""

    def __init__(self, engines: Sequence[ActorHandle]) -> None:
        self._engines = engines
        self._asked = [engine.num_members.remote() for engine in engines]
        self._is_up = [False] * len(engines)

    def num_up(self) -> int:
        """Those that answered last; an engine whose node is lost, or has yet to come, says so or is silent."""
        answered, _ = ray.wait(self._asked, num_returns=len(self._asked), timeout=0)
        for answer in answered:
            index = self._asked.index(answer)
            self._is_up[index] = False
            with suppress(ray.exceptions.RayError):
                ray.get(answer)
                self._is_up[index] = True
            self._asked[index] = self._engines[index].num_members.remote()
        return sum(self._is_up)
