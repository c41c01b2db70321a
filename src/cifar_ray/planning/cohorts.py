"""Simulates a sweep in cohorts: the trials of a worker train in common passes, which end for all at once."""

from __future__ import annotations

import math
import random
from collections import defaultdict

from cifar_ray.planning.fleet import Fleet, Worker
from cifar_ray.planning.search import Search, SimulatedTrial
from cifar_ray.planning.timing import Timing
from cifar_ray.planning.virtual_time import VirtualTime


class CohortSweep(VirtualTime[float]):
    """As many cohorts as the trials need, each on a worker; trials that ASHA stops are replaced by new ones.

    The trials of a cohort that loses its worker repeat the pass in an idle one, else in the cohort that is ready first.
    After a pass, an idle worker takes its share of a cohort's trials.
    """

    def __init__(self, search: Search, timing: Timing, fleet: Fleet, rng: random.Random) -> None:
        super().__init__(search, timing, fleet, rng)
        self._places = fleet.num_together(search.most_at_once)
        self._num_cohorts = min(fleet.num_workers, fleet.num_filled(search.most_at_once))
        self._members: defaultdict[Worker, list[SimulatedTrial]] = defaultdict(list)
        self._idle: list[Worker] = []

    def on_ready(self, worker: Worker, now: float) -> None:
        """Fill the worker's cohort and start a pass."""
        self._make_pass(worker, now)

    def on_work(self, worker: Worker, work: float, now: float) -> None:
        """Handle the end of a pass of `work` seconds, or the death of its worker."""
        if now >= worker.dies_s:
            self.waiting.extend(self._members.pop(worker))
            self.lose(worker, now)
            if self._idle:
                self._make_pass(self._idle.pop(), now)
            return
        self.busy_s += work
        decided_s = now
        members = self._members[worker]
        self.search.end_pass(members)
        for trial in list(members):
            decided_s = self.driver.take(now)
            if not self.search.report_epoch(trial):
                members.remove(trial)
        decided_s += self.timing.gap_s
        self._share(members, decided_s)
        self._make_pass(worker, decided_s)
        while self._idle and self.search.has_next:
            self._make_pass(self._idle.pop(), decided_s)

    def _share(self, members: list[SimulatedTrial], decided_s: float) -> None:
        """Hand two trials or more to idle workers, so that all that are up have about as many."""
        # workers beyond the cohorts idle throughout
        num_up = min(self._num_cohorts, len(self._members))
        share = math.ceil((self.search.num_open - len(self.waiting)) / num_up)
        if len(members) <= share + 1:
            return
        while len(members) > share and (num_idle := num_up - len(self._members) + len(self._idle)) > 0:
            idle = self._idle.pop()
            num_taken = min(share, math.ceil((len(members) - share) / num_idle))
            self._members[idle] = members[-num_taken:]
            del members[-num_taken:]
            self._make_pass(idle, decided_s + self.timing.trial_start_s)

    def _make_pass(self, worker: Worker, decided_s: float) -> None:
        members, begins = self._members[worker], False
        # as in a sweep, a cohort takes in those of a lost one beyond its places
        while (self.waiting or len(members) < self._places) and (trial := self.next_trial()):
            members.append(trial)
            begins = True
        if members:
            seconds = self.timing.pass_s(len(members))
            # the pass waits for the start of new members
            self.train(worker, seconds, decided_s + begins * self.timing.trial_start_s, seconds)
        else:
            self._idle.append(worker)
