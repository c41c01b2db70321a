"""Tells which of a sweep's engines are up, and spreads its trials over them: Ray Tune knows only their processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import ray
from ray.actor import ActorHandle


class EngineWatch:
    """Polls each engine."""

    def __init__(self, engines: Sequence[ActorHandle]) -> None:
        self._engines = engines
        self._asked = [engine.num_members.remote() for engine in engines]
        self._loads: dict[ActorHandle, int] = {}
        """The members of each engine that is up."""

    def num_up(self) -> int:
        """How many are up."""
        return len(self.up())

    def up(self, patience_s: float = 0.0) -> list[ActorHandle]:
        """The engines that are up by their latest answers; one without a node answers with an error, or not at all."""
        answered, _ = ray.wait(self._asked, num_returns=len(self._asked), timeout=patience_s)
        for answer in answered:
            index = self._asked.index(answer)
            engine = self._engines[index]
            self._loads.pop(engine, None)
            with suppress(ray.exceptions.RayError):
                self._loads[engine] = ray.get(answer)
            self._asked[index] = engine.num_members.remote()
        return list(self._loads)

    def spread(self, num_live: int, num_slots: int) -> None:
        """Give each engine its share of the live trials where one of them is idle, or holds more than its slots.

        All keep what they have where that would move a single trial, or as long as some are still on their way to an
        engine, by the latest answers.
        """
        loads = self._loads.values()
        mean = num_live / max(1, len(loads))
        has_room = len(loads) > 1 and (min(loads) == 0 or max(loads) > num_slots)
        is_due = has_room and sum(loads) == num_live and max(loads) > math.ceil(mean) + 1
        for engine, load in self._loads.items():
            share = math.ceil(mean) if load > mean else max(1, math.floor(mean))
            engine.set_share.remote(share if is_due else None)
