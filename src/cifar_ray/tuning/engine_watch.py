"""Tells which of a sweep's engines are up: Ray Tune knows only their trials' processes, which run on any node."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import compress

import ray
from ray.actor import ActorHandle


class EngineWatch:
    """Polls each engine."""

    def __init__(self, engines: Sequence[ActorHandle]) -> None:
        self._engines = engines
        self._asked = [engine.num_members.remote() for engine in engines]
        self._is_up = [False] * len(engines)

    def num_up(self) -> int:
        """How many are up."""
        return len(self.up())

    def up(self, patience_s: float = 0.0) -> list[ActorHandle]:
        """The engines that are up by their latest answers; one without a node answers with an error, or not at all."""
        answered, _ = ray.wait(self._asked, num_returns=len(self._asked), timeout=patience_s)
        for answer in answered:
            index = self._asked.index(answer)
            self._is_up[index] = False
            with suppress(ray.exceptions.RayError):
                ray.get(answer)
                self._is_up[index] = True
            self._asked[index] = self._engines[index].num_members.remote()
        return list(compress(self._engines, self._is_up))
