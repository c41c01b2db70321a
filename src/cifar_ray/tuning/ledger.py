"""Keeps a sweep's records: of its trials and their metrics, with progress lines, as Ray Tune reports them."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ray.tune import Callback
from ray.tune.experiment import Trial

from cifar_ray.errors import StorageError
from cifar_ray.prices import Prices
from cifar_ray.progress.counting import recounted, with_epoch
from cifar_ray.progress.ranking import best_first, best_of
from cifar_ray.progress.sweep_log import (
    Cohorts,
    FinalsAhead,
    TrialEpoch,
    TrialLogEvent,
    TrialState,
    budget_line,
    trial_lines,
)
from cifar_ray.progress.sweep_progress import SweepProgress
from cifar_ray.provenance import now, seconds_between
from cifar_ray.records import EpochMetrics, Outcome, SweepRecord, SweepResult, TrialEvent, TrialRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.bookkeeper import Bookkeeper
from cifar_ray.tuning.cost import Meter, cost_of
from cifar_ray.tuning.engine_watch import EngineWatch
from cifar_ray.tuning.epoch_report import PASS_KEY, from_result
from cifar_ray.tuning.gauges import SweepGauges
from cifar_ray.tuning.signals import Stopping

PROGRESS_PERIOD_S = 2.0
MAX_ERROR_LENGTH = 500
MAX_EVENTS = 100
STOPPED_DRAIN_S = 5.0
"""How long a driver that was told to stop waits for its last records to reach the store."""
_OF_STORE = re.compile(r"cifar_ray\.errors\.(StorageError|StoreUnavailableError|CredentialsError): ")


def metrics_of_trials(runs: RunStore, sweep: SweepRecord) -> list[EpochMetrics]:
    """All that the sweep has, but those of trials that have been deleted."""
    lines = runs.metrics(sweep.sweep_id)
    if sweep.searcher == "random":
        return lines
    # a searcher records a trial before its first epoch; one without a record it chooses anew, as another
    recorded = {each.trial_id for each in runs.trials(sweep.sweep_id)}
    return [line for line in lines if line.trial_id in recorded]


class Ledger(Callback):
    """Ray Tune's callback in the driver. Every trial has one record, every (trial, epoch) one line."""

    def __init__(
        self,
        runs: RunStore,
        sweep: SweepRecord,
        say: Callable[[str], None],
        *,
        engines: EngineWatch | None = None,
        num_together: int = 1,
        stopping: Stopping,
    ) -> None:
        """`engines` watches those of its cohorts, each of which trains at most `num_together` trials."""
        self._runs = runs
        self._sweep = sweep
        self._engines = engines
        self._has_said_idle = False
        self._num_together = num_together
        self._stopping = stopping
        self._say = say
        self._trials: dict[str, TrialRecord] = {}
        self._metrics: dict[tuple[str, int], EpochMetrics] = {}
        self._running: set[str] = set()
        """The trials that train now: in the records one that waits to be tried again is running, too."""

    def setup(self, *args: Any, **info: Any) -> None:
        """Read the records: Ray Tune calls this in each of the sweep's drivers."""
        lines = metrics_of_trials(self._runs, self._sweep)
        # metrics are written more often than records, so those of a killed driver are newer
        self._trials = {each.trial_id: each for each in self._runs.trials_so_far(self._sweep.sweep_id, lines)}
        self._metrics = {(line.trial_id, line.epoch): line for line in lines}
        # a driver killed between the two writes has left a trial's first metrics without a record
        self._orphans = [line for line in lines if line.trial_id not in self._trials]
        self._say(budget_line(self._sweep.budget))
        if self._num_together > 1:
            self._say(Cohorts(num_together=self._num_together).to_line())
        if finals := FinalsAhead.of(self._sweep):
            self._say(finals.to_line())
        self._log_events: list[TrialLogEvent] = [TrialEpoch.of(line) for line in self._metrics.values()]
        self._log_events += [TrialState(trial_id=each.trial_id, outcome=each.outcome) for each in self._trials.values()]
        self._gauges = SweepGauges(self._sweep, num_epochs=len(self._metrics))
        self._started = self._progress_said = time.monotonic()
        self._books = Bookkeeper(self._runs, self._sweep.sweep_id)
        self._meter = Meter(self._sweep, self._runs.use(self._sweep.sweep_id))

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial got its resources, for the first time or again."""
        self._put(_with_event(replace(self._record(trial), outcome="running", error=None), "started"))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial finished an epoch; those that a resumed trial repeats do not change its record or metrics."""
        line = from_result(result)
        # Ray Tune keeps each trial's last result, and the standings of a pass grow with its cohort
        is_trained = bool(result.pop(PASS_KEY, None))
        is_known = (line.trial_id, line.epoch) in self._metrics
        if is_known and is_trained:
            # not just reported again from a checkpoint, which may be of such an epoch
            self._meter.repeat(line)
        if not is_known:
            node = line.node or str(result.get("node_ip"))
            self._metrics[line.trial_id, line.epoch] = replace(line, node=node, ended_at=now("milliseconds"))
            self._books.keep_metrics(self._metrics.values(), self._meter.use)
            self._log_events.append(TrialEpoch.of(line))
            self._say_idle_accelerators(line, node)
            counted = with_epoch(self._trials[line.trial_id], line, self._sweep.accelerators_per_trial)
            self._trials[line.trial_id] = replace(counted, node=node)

    def _say_idle_accelerators(self, line: EpochMetrics, node: str) -> None:
        """Warn once: torch falls back to the CPU silently, as it should in a rehearsal on logical accelerators."""
        is_idle = self._sweep.accelerators_per_trial > 0 and (line.device or "").startswith("cpu")
        if is_idle and not self._has_said_idle:
            self._has_said_idle = True
            self._say(
                f"trials hold accelerators and train on cpu: torch finds none on {node}; "
                "see its driver, and whether torch is a build for it"
            )

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Count held devices and report progress, where that is due."""
        if self._meter.is_due():
            running = {each.config["trial_id"] for each in trials if each.status == Trial.RUNNING}
            num_held = len(running) if self._engines is None else self._engines.num_up()
            # a trial of a cohort has started, and may still wait for an engine
            self._running = running if num_held else set()
            self._meter.count(num_held)
        if time.monotonic() - self._progress_said >= PROGRESS_PERIOD_S:
            self._say_progress()

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial ended without an error: by itself, or stopped by ASHA."""
        record = self._record(trial)
        last = self._metrics.get((record.trial_id, record.num_epochs))
        outcome: Outcome = "stopped"
        if last is not None and not last.is_finite:
            outcome = "diverged"
        elif record.num_epochs >= self._sweep.max_epochs:
            outcome = "completed"
        self._put(_with_event(replace(record, outcome=outcome), "ended"))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial failed for good, after its retries.

        Raises StorageError where the store refused it, which is no fault of the trial's: others would fail one after
        another, and the sweep would end with those results. A resumed sweep trains it again.
        """
        record = self._record(trial)
        # it may quote a file name that is not valid UTF-8, which no record can hold
        error = _reason(_last_failure(trial))[:MAX_ERROR_LENGTH].encode("utf-8", "backslashreplace").decode()
        if refusal := _OF_STORE.match(error):
            self._put(_with_event(record, "lost"))
            raise StorageError(
                f"trial {record.trial_id}: {error[refusal.end() :]}", "see whether every node can write to the store"
            )
        self._put(_with_event(replace(record, outcome="failed", error=error), "ended"))
        self._say(f"trial {record.trial_id} failed: {error}")

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial failed, or lost its process, and is tried again."""
        self._put(_with_event(self._record(trial), "lost"))

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """The sweep ended, or was interrupted: write what is left."""
        self._books.keep_metrics(self._metrics.values(), self._meter.use)
        self._books.drain(STOPPED_DRAIN_S if self._stopping.is_told else None)
        self._running = set()
        self._say_progress()

    def trials(self) -> Collection[TrialRecord]:
        """All trials that have started, with their current records."""
        return self._trials.values()

    def progress(self) -> SweepProgress:
        """Where the sweep stands."""
        outcomes = Counter(trial.outcome for trial in self._trials.values())
        best = best_of(self._trials.values())
        return SweepProgress(
            elapsed_s=time.monotonic() - self._started,
            trials=self._sweep.num_trials,
            running=len(self._running),
            stopped=outcomes["stopped"],
            completed=outcomes["completed"],
            diverged=outcomes["diverged"],
            failed=outcomes["failed"],
            epochs=len(self._metrics),
            best_validation_accuracy=best.best_validation_accuracy if best else None,
            best_trial=best.trial_id if best else None,
            dataset=self._sweep.dataset.name,
        )

    def _record(self, trial: Trial) -> TrialRecord:
        """The trial's record, or a fresh one: a trial may lose its node before it has begun."""
        trial_id = trial.config["trial_id"]
        if known := self._trials.get(trial_id):
            return known
        fresh = TrialRecord(
            trial_id=trial_id, config=trial.config["settings"], outcome="running", parent=trial.config["parent"]
        )
        return recounted(fresh, self._orphans, self._sweep.accelerators_per_trial)

    def _say_progress(self) -> None:
        self._progress_said = time.monotonic()
        progress = self.progress()
        for line in trial_lines(self._log_events):
            self._say(line)
        self._log_events = []
        self._say(progress.to_line())
        self._gauges.publish(progress, self._accelerators_in_use())

    def _accelerators_in_use(self) -> float:
        """The sum of the running trials' shares, as in their last epochs."""
        running = [self._trials[trial_id] for trial_id in self._running if trial_id in self._trials]
        last = [self._metrics.get((trial.trial_id, trial.num_epochs)) for trial in running]
        return sum(self._sweep.accelerators_per_trial / line.num_sharing for line in last if line is not None)

    def _put(self, trial: TrialRecord) -> None:
        self._trials[trial.trial_id] = trial
        if trial.has_ended:
            self._running.discard(trial.trial_id)
        self._log_events.append(TrialState(trial_id=trial.trial_id, outcome=trial.outcome))
        self._books.keep_trial(trial)


def _last_failure(trial: Trial) -> str:
    """Ray's text of it. `Trial.get_error` reads the stored copy, which lacks the failures of the last minutes."""
    try:
        # one file has all of the trial's failures
        return Path(trial.error_file).read_text().rpartition("Failure #")[2].partition("\n")[2].strip()
    except OSError:
        return ""


def _reason(failure: str) -> str:
    """The one line of a failure's text that a person needs."""
    if "killed by `ray.kill`" in failure:
        return "it hung: no epoch came in time, and its process was ended"
    lines = failure.splitlines() or ["unknown error"]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit|Interrupt)\b", line)]
    died = [line for line in lines if line.startswith("The actor is dead because")]
    return [lines[0], *died, *raised][-1]


def _with_event(trial: TrialRecord, what: Literal["started", "lost", "ended"]) -> TrialRecord:
    return replace(trial, events=(*trial.events, TrialEvent(what=what, at=now("milliseconds")))[-MAX_EVENTS:])


def summarise_sweep(
    runs: RunStore, sweep: SweepRecord, finished_at: str, prices: Prices | None = None
) -> SweepResult | None:
    """How the sweep ended, from its records; None where a trial has no outcome yet."""
    trials = runs.trials(sweep.sweep_id)
    outcomes = Counter(trial.outcome for trial in trials)
    if len(trials) < sweep.num_trials or outcomes["running"]:
        return None
    ranked = best_first(trial for trial in trials if trial.best_validation_accuracy is not None)
    return SweepResult(
        sweep_id=sweep.sweep_id,
        study=sweep.study,
        ranking=tuple(trial.trial_id for trial in ranked),
        winner=ranked[0] if ranked else None,
        outcomes={str(outcome): count for outcome, count in outcomes.items()},
        num_epochs=sum(trial.num_epochs for trial in trials),
        # 0 where the clock was set back
        wall_s=max(0.0, seconds_between(sweep.started_at, finished_at)),
        accelerator_seconds=sum(trial.accelerator_seconds for trial in trials),
        finished_at=finished_at,
        cost=cost_of(sweep, runs.use(sweep.sweep_id), trials, runs.metrics(sweep.sweep_id), prices),
    )
