"""Simulates a sweep whose trials train one by one, each in a place of its own."""

from __future__ import annotations

import random
from collections import deque

from cifar_ray.planning.fleet import Fleet, Worker
from cifar_ray.planning.search import Search, SimulatedTrial
from cifar_ray.planning.timing import Timing
from cifar_ray.planning.virtual_time import VirtualTime


class IndependentTrials(VirtualTime[SimulatedTrial]):
    """A sweep without cohorts. A trial that loses its worker resumes from its last epoch in the next free place."""

    def __init__(self, search: Search, timing: Timing, fleet: Fleet, rng: random.Random) -> None:
        super().__init__(search, timing, fleet, rng)
        self._idle: deque[tuple[Worker, int]] = deque()
        """Free places, each with its worker and the worker's life then."""

    def on_ready(self, worker: Worker, now: float) -> None:
        """Fill the places of a worker that is ready."""
        for _ in range(self.fleet.places):
            self._fill(worker, now)

    def on_work(self, worker: Worker, work: SimulatedTrial, now: float) -> None:
        """Handle the end of an epoch, or the death of its worker."""
        if work.life != worker.life or now >= worker.dies_s:
            self._interrupt(worker, work, now)
            return
        self.busy_s += work.curve.epoch_s / self.fleet.places
        decided_s = self.driver.take(now)
        worker.used_s = max(worker.used_s, decided_s)
        if self.search.report_epoch(work):
            self.train(worker, work, decided_s + self.timing.gap_s, work.curve.epoch_s)
        else:
            self._fill(worker, decided_s)

    def _fill(self, worker: Worker, now: float) -> None:
        if trial := self.next_trial():
            self._begin(worker, trial, now)
        else:
            self._idle.append((worker, worker.life))

    def _begin(self, worker: Worker, trial: SimulatedTrial, now: float) -> None:
        trial.life = worker.life
        self.train(worker, trial, now + self.timing.trial_start_s, trial.curve.epoch_s)

    def _interrupt(self, worker: Worker, trial: SimulatedTrial, now: float) -> None:
        if trial.life == worker.life:
            self.lose(worker, now)
        while self._idle:
            other, life = self._idle.popleft()
            if life == other.life and not self.workers.is_gone(other, now):
                self._begin(other, trial, now)
                return
        self.waiting.append(trial)
