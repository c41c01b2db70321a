"""The event loop of a simulated sweep: what happens next on its workers, and when the driver has processed it."""

from __future__ import annotations

import heapq
import random
from collections import deque
from typing import Generic, TypeVar

from cifar_ray.errors import ConfigurationError
from cifar_ray.planning.fleet import Fleet, Worker, Workers
from cifar_ray.planning.search import Search, SimulatedSweep, SimulatedTrial
from cifar_ray.planning.timing import Timing

MOST_LOSSES = 100
"""Losses allowed per worker and per finished epoch: with more, the sweep is taken never to end."""

Work = TypeVar("Work")
"""What a worker trains: an epoch of a trial, or a pass of a cohort."""


class Driver:
    """Ray Tune's loop, which processes one result after another."""

    def __init__(self, decision_s: float) -> None:
        self._decision_s = decision_s
        self.free_s = self.busy_s = 0.0
        """When it will have processed all results so far, and how long it has spent on results."""

    def take(self, now: float) -> float:
        """Process a result that arrives at `now`; returns when it has been decided on."""
        self.free_s = max(now, self.free_s) + self._decision_s
        self.busy_s += self._decision_s
        return self.free_s


class VirtualTime(Generic[Work]):
    """One sweep on one fleet. Memory grows with the workers and the running trials, not with ended ones."""

    def __init__(self, search: Search, timing: Timing, fleet: Fleet, rng: random.Random) -> None:
        self.search, self.timing, self.fleet = search, timing, fleet
        self.driver = Driver(timing.decision_s)
        self.workers = Workers(fleet, fleet.num_filled(search.most_at_once), timing.setup_s, rng)
        self.waiting: deque[SimulatedTrial] = deque()
        """Trials that lost their worker."""
        self.busy_s = 0.0
        self._events: list[tuple[float, int, Worker, Work | None]] = []
        self._num_events = 0

    def run(self) -> SimulatedSweep:
        """Simulate to the sweep's end; ConfigurationError where workers are lost faster than they train an epoch."""
        for worker in self.workers.all:
            self.at(self.workers.start(worker), worker, None)
        while self.search.num_open or self.search.num_left:
            now, _, worker, work = heapq.heappop(self._events)
            if work is None:
                self.on_ready(worker, now)
            else:
                self.on_work(worker, work, now)
        return self._outcome(self.driver.free_s + self.timing.teardown_s)

    def at(self, when: float, worker: Worker, work: Work | None) -> None:
        """Schedule the end of the work or, with None, the worker's being ready."""
        self._num_events += 1
        heapq.heappush(self._events, (when, self._num_events, worker, work))

    def train(self, worker: Worker, work: Work, begin_s: float, seconds: float) -> None:
        """Schedule the end of work that takes so many seconds, or the death of its worker if earlier."""
        end_s = min(begin_s + seconds, max(begin_s, worker.dies_s))
        worker.used_s = max(worker.used_s, end_s)
        self.at(end_s, worker, work)

    def lose(self, worker: Worker, now: float) -> None:
        """Replace a worker that has died."""
        if self.workers.preemptions > MOST_LOSSES * (self.search.num_epochs + len(self.workers.all)):
            raise ConfigurationError(
                "workers are taken away faster than they train an epoch: the sweep would never end",
                "lower --preemptions-per-hour",
            )
        self.at(self.workers.replace(worker, now), worker, None)

    def next_trial(self) -> SimulatedTrial | None:
        """A trial that lost its worker, else the next to start."""
        return self.waiting.popleft() if self.waiting else self.search.next_trial()

    def on_ready(self, worker: Worker, now: float) -> None:
        """Handle a worker that has become ready."""
        raise NotImplementedError

    def on_work(self, worker: Worker, work: Work, now: float) -> None:
        """Handle the end of work, or the death of its worker."""
        raise NotImplementedError

    def _outcome(self, wall_s: float) -> SimulatedSweep:
        return SimulatedSweep(
            wall_s=wall_s,
            up_s=self.workers.up_s(wall_s),
            busy_s=self.busy_s,
            driver_s=self.driver.busy_s,
            num_epochs=self.search.num_epochs,
            best_accuracy=self.search.best_accuracy,
            finalists_epoch_s=self.search.finalists_epoch_s,
            reached=self.search.reached,
        )
