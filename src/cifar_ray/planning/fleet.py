"""The workers of a simulated cluster: when each comes up, dies and goes, and for how long it was there."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from cifar_ray.errors import ConfigurationError

MAX_WORKERS = 100_000
HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What a sweep would run on."""

    num_workers: int
    """Each trains one trial, one cohort, or as many trials as share its accelerator."""
    places: int = 1
    """Trials that a worker trains at once; of a cohort, its most members."""
    is_cohort: bool = False
    """Whether the trials of a worker train as one network, in common passes."""
    is_autoscaled: bool = False
    """Whether workers come when trials wait and go when they idle; else all are there from first to last."""
    node_start_s: float = 120.0
    """Mean time from asking for a node to its first trial; it varies by a quarter either way."""
    idle_s: float = 60.0
    """Of an autoscaler: how long a worker without work stays; one with a cohort stays to the sweep's end."""
    preemptions_per_hour: float = 0.0
    """How often a worker is taken away; another comes after `node_start_s`, and the epoch that it was in is lost."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_workers <= MAX_WORKERS:
            raise ConfigurationError(f"workers: {self.num_workers} is out of range", f"take 1 to {MAX_WORKERS}")
        for name, value in (("node start", self.node_start_s), ("preemptions", self.preemptions_per_hour)):
            if not 0 <= value < math.inf:
                raise ConfigurationError(f"{name}: {value:g} is out of range", "take 0 or more")

    def num_filled(self, most_at_once: int) -> int:
        """Workers that so many trials can fill, however many there are."""
        return math.ceil(most_at_once / self.places)

    def num_together(self, most_at_once: int) -> int:
        """Trials that train in common passes, where a sweep has so many at once at most: they are dealt evenly."""
        if not self.is_cohort:
            return 1
        num_used = min(self.num_filled(most_at_once), self.num_workers)
        return min(self.places, math.ceil(most_at_once / num_used))


class Worker:
    """One of them."""

    __slots__ = ("asked_s", "dies_s", "life", "used_s")

    def __init__(self, asked_s: float) -> None:
        self.asked_s = self.used_s = asked_s
        """Of an autoscaler's: since when it is paid for; until when it is of use."""
        self.dies_s = math.inf
        self.life = 0
        """Counts its replacements: what was begun in an earlier life is lost."""


class Workers:
    """All of them, with the luck of their nodes."""

    def __init__(self, fleet: Fleet, num_wanted: int, setup_s: float, rng: random.Random) -> None:
        """An autoscaler starts no more than the `num_wanted` that trials can fill, once the sweep has been set up."""
        self.fleet = fleet
        self.preemptions = 0
        self._rng = rng
        num = min(fleet.num_workers, num_wanted) if fleet.is_autoscaled else fleet.num_workers
        self.all = [Worker(setup_s) for _ in range(num)]

    def first_ready_s(self, worker: Worker, setup_s: float) -> float:
        """When it takes its first trial."""
        ready_s = setup_s + (self._start_s() if self.fleet.is_autoscaled else 0.0)
        worker.used_s = ready_s
        worker.dies_s = self._next_death(ready_s)
        return ready_s

    def replace(self, worker: Worker, now: float) -> float:
        """It is lost at `now`; when the node in its place is ready."""
        self.preemptions += 1
        worker.life += 1
        ready_s = now + self._start_s()
        worker.dies_s = self._next_death(ready_s)
        worker.used_s = ready_s
        return ready_s

    def is_gone(self, worker: Worker, now: float) -> bool:
        """Whether an autoscaler has ended it for want of work."""
        return self.fleet.is_autoscaled and now > worker.used_s + self.fleet.idle_s

    def up_s(self, wall_s: float) -> float:
        """Seconds of workers that are paid for, all together."""
        if not self.fleet.is_autoscaled:
            return wall_s * len(self.all)
        # a cohort holds its node, whoever is still in it
        idle_s = math.inf if self.fleet.is_cohort else self.fleet.idle_s
        return sum(max(0.0, min(wall_s, each.used_s + idle_s) - each.asked_s) for each in self.all)

    def _start_s(self) -> float:
        return self.fleet.node_start_s * self._rng.uniform(0.75, 1.25)

    def _next_death(self, now: float) -> float:
        rate = self.fleet.preemptions_per_hour / HOUR_S
        return now + self._rng.expovariate(rate) if rate else math.inf
