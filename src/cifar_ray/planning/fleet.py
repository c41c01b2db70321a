"""The workers of a simulated cluster: when each starts, dies and is released, and for how long it is paid for."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The workers that a sweep would run on."""

    num_workers: int
    """A worker trains one trial, one cohort, or as many trials as share its accelerator."""
    places: int = 1
    """Trials that a worker trains at once; for a cohort, its maximum number of members."""
    is_cohort: bool = False
    """Whether the trials of a worker train as one network, in common passes."""
    is_autoscaled: bool = False
    """Whether workers start when trials wait and go when idle; else all are up throughout."""
    node_start_s: float = 120.0
    """Mean time from asking for a node to its first trial; it varies by a quarter either way."""
    idle_s: float = 60.0
    """How long the autoscaler keeps an idle worker; one with a cohort stays to the sweep's end."""
    preemptions_per_hour: float = 0.0
    """How often a worker is preempted: its epoch is lost, and another takes its place after `node_start_s`."""

    def num_filled(self, most_at_once: int) -> int:
        """Workers that so many trials can fill, whatever `num_workers` is."""
        return math.ceil(most_at_once / self.places)

    def num_together(self, most_at_once: int) -> int:
        """Trials in a common pass of a sweep with at most so many at once, spread evenly over cohorts."""
        if not self.is_cohort:
            return 1
        num_used = min(self.num_filled(most_at_once), self.num_workers)
        return min(self.places, math.ceil(most_at_once / num_used))


@dataclass(eq=False, slots=True)
class Worker:
    """One worker; its successors after a preemption are the same object."""

    used_s: float = 0.0
    """When it last started or ended work."""
    dies_s: float = math.inf
    life: int = 0
    """Number of its replacements: work begun in an earlier life is lost."""


class Workers:
    """All workers, with the random start and death of their nodes."""

    def __init__(self, fleet: Fleet, num_wanted: int, setup_s: float, rng: random.Random) -> None:
        """An autoscaler starts no more than the `num_wanted` that trials can fill, once the sweep has been set up."""
        self.fleet = fleet
        self.preemptions = 0
        self._setup_s = setup_s
        self._rng = rng
        num = min(fleet.num_workers, num_wanted) if fleet.is_autoscaled else fleet.num_workers
        self.all = [Worker() for _ in range(num)]

    def start(self, worker: Worker) -> float:
        """Start the worker; returns when it takes its first trial."""
        return self._begin_life(worker, self._setup_s + (self._start_s() if self.fleet.is_autoscaled else 0.0))

    def replace(self, worker: Worker, now: float) -> float:
        """Replace a worker lost at `now`; returns when the new node is ready."""
        self.preemptions += 1
        worker.life += 1
        return self._begin_life(worker, now + self._start_s())

    def is_gone(self, worker: Worker, now: float) -> bool:
        """Whether an autoscaler has released it as idle."""
        return self.fleet.is_autoscaled and now > worker.used_s + self.fleet.idle_s

    def up_s(self, wall_s: float) -> float:
        """Worker-seconds that are paid for."""
        if not self.fleet.is_autoscaled:
            return wall_s * len(self.all)
        # a cohort holds its node, however few trials are left in it
        idle_s = math.inf if self.fleet.is_cohort else self.fleet.idle_s
        return sum(max(0.0, min(wall_s, each.used_s + idle_s) - self._setup_s) for each in self.all)

    def _start_s(self) -> float:
        return self.fleet.node_start_s * self._rng.uniform(0.75, 1.25)

    def _begin_life(self, worker: Worker, ready_s: float) -> float:
        rate = self.fleet.preemptions_per_hour / HOUR_S
        worker.used_s = ready_s
        worker.dies_s = ready_s + self._rng.expovariate(rate) if rate else math.inf
        return ready_s
