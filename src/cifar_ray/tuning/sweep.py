"""The sweep: the one place that drives Ray Tune."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray import tune
from ray.tune.error import TuneError
from ray.tune.search import Searcher

from cifar_ray.capacity import TYPE_LABEL, Placement
from cifar_ray.data.split import TrainingData
from cifar_ray.errors import StorageError, StoreUnavailableError
from cifar_ray.prices import Prices
from cifar_ray.provenance import now
from cifar_ray.records import SweepRecord, SweepResult
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study, TrialConfig
from cifar_ray.studies.options import Keep
from cifar_ray.tuning.engine import EnginePlan
from cifar_ray.tuning.engine_watch import EngineWatch, start_engines
from cifar_ray.tuning.epoch_report import asha_settings
from cifar_ray.tuning.ledger import Ledger, metrics_of_trials, summarise_sweep
from cifar_ray.tuning.listed_search import ListedSearch
from cifar_ray.tuning.member_threads import CohortTrial
from cifar_ray.tuning.pass_asha import HURRY_S, PassASHA
from cifar_ray.tuning.patient_trainable import STOP_DEADLINE_S
from cifar_ray.tuning.pruner import Pruner
from cifar_ray.tuning.resuming import lacking_weights
from cifar_ray.tuning.searchers import open_search
from cifar_ray.tuning.signals import Stopping, TimeLimit, ending_in_order
from cifar_ray.tuning.sweep_errors import broke_off, interruption, own_errors, without_weights
from cifar_ray.tuning.trackers import Trackers
from cifar_ray.tuning.trainable import TrialPlan, run_trial
from cifar_ray.tuning.tune_patches import count_no_callbacks, pass_on_no_keys
from cifar_ray.tuning.watchdog import Watchdog

MAX_RETRIES = 2
"""How often a trial that raises is started again before it is recorded as failed."""

_TUNE_ENVIRONMENT = {
    # our ledger keeps the records; Ray Tune's CSV, JSON and TensorBoard files, written between a trial's epochs, would
    # take longer than short epochs (tuning/trackers.py writes TensorBoard's in a thread)
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # relative data folders are looked up in the job's working directory
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # an error is in its trial's record and in one line of the log
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # the process of a stopped trial uploads its last checkpoints; by default it is killed a minute too soon
    "TUNE_FORCE_TRIAL_CLEANUP_S": f"{STOP_DEADLINE_S:.0f}",
    # tuning/tune_patches.py subtracts lost nodes from the failures again, so preempted ones must be counted, too
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",
    # nobody reads its saved state (docs/decisions/0011), whose writing took a third of the time at 500 trials
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    # the job prints its own progress
    "RAY_AIR_NEW_OUTPUT": "0",
    # our own handler gets signals first (tuning/signals.py)
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """A sweep that has passed its checks."""

    sweep: SweepRecord
    configs: list[TrialConfig]
    """Of all trials; with a searcher, of those that begin before it has learnt enough."""
    data: TrainingData
    storage: str
    max_concurrent_trials: int
    num_cohorts: int
    """0 where each trial trains by itself."""
    accelerator: str | None = None
    """The type, as in the nodes' labels, that trials, cohorts and finals train on; None for any."""
    study: Study | None = None
    """The study whose searcher chooses trials as the sweep runs; None where `configs` has them all."""
    prices: Prices | None = None
    keep: Keep = "all"
    finals: Placement | None = None
    """For its finals, where each training runs by itself; None for a sweep without."""
    ends_at: float | None = None
    """When this process must end, by its monotonic clock; None for no limit."""

    @property
    def num_together(self) -> int:
        """The most trials of a cohort; 1 where each trial trains by itself."""
        return math.ceil(self.max_concurrent_trials / self.num_cohorts) if self.num_cohorts else 1


def run_trials(plan: SweepPlan, runs: RunStore, say: Callable[[str], None], *, is_again: bool = False) -> SweepResult:
    """Train all trials of a sweep, or those that are left; its result is for the caller to store.

    Trials whose best weights are needed and were lost with their node, as it uploaded them, are trained on: once, and
    not where this already `is_again` of that.

    Raises InterruptedSweepError or TimeLimitError where a signal or the limit ended it before every trial had an
    outcome; StorageError where it broke off.
    """
    sweep_id = plan.sweep.parent or plan.sweep.sweep_id
    os.environ.update(_TUNE_ENVIRONMENT)
    # it warns of missing result files, which our ledger replaces
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    count_no_callbacks()
    pass_on_no_keys()
    limit = TimeLimit(plan.ends_at)
    trials = runs.trials(plan.sweep.sweep_id)
    ended = {each.trial_id for each in trials if each.has_ended or (is_again and each.outcome == "failed")}
    num_left = plan.sweep.num_trials - len(ended)
    stopping = Stopping()
    try:
        if num_left:
            # nobody reads what Ray Tune itself writes (docs/decisions/0011)
            with (
                TemporaryDirectory(prefix="cifar-ray-tune-", ignore_cleanup_errors=True) as folder,
                _trainable(plan, num_left, stopping) as (trainable, watch),
            ):
                scheduler = _build_scheduler(plan, runs, watch)
                with ending_in_order(scheduler.hurry, stopping), own_errors():
                    _build_tuner(plan, ended, trainable, watch, scheduler, runs, folder, say, limit, stopping).fit()
    except (OSError, TuneError, StorageError) as error:
        if stopping.is_told and isinstance(error, StoreUnavailableError):
            # whoever stops a driver waits for no store, and what has not arrived is trained again
            raise interruption(sweep_id, limit) from error
        raise broke_off(sweep_id, error) from error
    except KeyboardInterrupt as error:
        if not stopping.is_told:
            raise
        # Ray Tune had not begun yet, or a second signal did not let it end
        raise interruption(sweep_id, limit) from error
    result = summarise_sweep(runs, plan.sweep, now(), plan.prices)
    # a search that was told to stop as its last trials ended does not go on to its finals
    if result is None or (stopping.is_told and plan.finals is not None):
        raise interruption(sweep_id, limit)
    # finals train anew
    if plan.finals is None and (lacking := lacking_weights(runs, plan.sweep, result)):
        for trial in lacking:
            runs.write_trial(plan.sweep.sweep_id, replace(trial, outcome="running"))
        if stopping.is_told:
            raise interruption(sweep_id, limit)
        lost = without_weights(sweep_id, lacking)
        if is_again:
            raise lost
        say(f"{lost.message}; training on")
        # nothing is left to a searcher
        configs = [TrialConfig.from_dict(each.config) for each in runs.trials(plan.sweep.sweep_id)]
        return run_trials(replace(plan, study=None, configs=configs), runs, say, is_again=True)
    return result


def _build_tuner(
    plan: SweepPlan,
    ended: Collection[str],
    trainable: Any,
    watch: EngineWatch | None,
    scheduler: PassASHA,
    runs: RunStore,
    folder: str,
    say: Callable[[str], None],
    limit: TimeLimit,
    stopping: Stopping,
) -> tune.Tuner:
    sweep = plan.sweep
    ledger = Ledger(runs, sweep, say, engines=watch, num_together=plan.num_together, stopping=stopping)
    callbacks = [
        # before the books, which end Ray Tune's round where the store is away
        Trackers(runs, sweep, say, stopping),
        ledger,
        # a population's next generation is spread as it joins
        Watchdog(say, watch, num_slots=None if sweep.searcher == "pbt" else plan.num_together),
        limit,
        # the next generation of a population starts from checkpoints of this one
        *([Pruner(runs, sweep.sweep_id, ledger.trials)] if plan.keep == "winner" and sweep.searcher != "pbt" else []),
    ]
    # a sweep resumes from its records alone (docs/decisions/0011)
    search = open_search(plan.study, sweep, plan.configs, runs) if plan.study else ListedSearch(plan.configs, ended)
    return tune.Tuner(
        trainable,
        tune_config=_tune_config(plan, search, scheduler, sweep.num_trials - len(ended)),
        run_config=tune.RunConfig(
            name=sweep.sweep_id,
            storage_path=folder,
            failure_config=tune.FailureConfig(max_failures=MAX_RETRIES),
            # checkpoints do not go through Ray Tune (docs/decisions/0002)
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=callbacks,
            verbose=0,
        ),
    )


@contextmanager
def _trainable(plan: SweepPlan, num_left: int, stopping: Stopping) -> Iterator[tuple[Any, EngineWatch | None]]:
    """What Ray Tune runs for each trial, and a watch on the engines behind it, if there are any."""
    sweep = plan.sweep
    where = {TYPE_LABEL: plan.accelerator} if plan.accelerator else {}
    if not plan.num_cohorts:
        yield _alone(plan, where), None
        return
    engine_plan = EnginePlan(
        sweep_id=sweep.sweep_id,
        storage=plan.storage,
        data_seed=sweep.seed,
        num_threads=max(1, int(sweep.cpus_per_trial)),
        num_slots=plan.num_together,
        num_trials=math.ceil(num_left / plan.num_cohorts),
    )
    amounts = {"num_cpus": sweep.cpus_per_trial, "num_gpus": sweep.accelerators_per_trial}
    # sent once to each node, however many start there; held for restarts, so lost only with this driver (ray#53727)
    data = ray.put(plan.data)
    engines = start_engines(plan.num_cohorts, data, engine_plan, {**amounts, "label_selector": where})
    watch = EngineWatch(engines, num_left)
    watch.start()
    has_store = True
    try:
        yield CohortTrial, watch
    except StorageError:
        # the driver, or a trial, has waited for the store as long as it may
        has_store = False
        raise
    finally:
        watch.end()
        try:
            if has_store and stopping.is_told:
                # whoever stops a job kills it soon after, and what has not arrived is trained again
                with suppress(StorageError):
                    watch.drain(stopping.left_s(HURRY_S))
            elif has_store:
                watch.drain()
        finally:
            # Ray Tune keeps their handles until the driver exits: finals would wait for the resources that they hold
            for engine in engines:
                ray.kill(engine)


def _alone(plan: SweepPlan, where: Mapping[str, str]) -> Any:
    """What Ray Tune runs for a trial that trains by itself, in its own process on a node with the labels `where`."""
    sweep = plan.sweep
    trial_plan = TrialPlan(
        sweep_id=sweep.sweep_id,
        storage=plan.storage,
        data_seed=None if sweep.parent else sweep.seed,
        cpus_per_trial=sweep.cpus_per_trial,
    )
    demand = {"CPU": sweep.cpus_per_trial, "GPU": sweep.accelerators_per_trial}
    labels = {"bundle_label_selector": [dict(where)]} if where else {}
    trial = tune.with_parameters(run_trial, data=plan.data, plan=trial_plan)
    return tune.with_resources(trial, tune.PlacementGroupFactory([demand], **labels))


def _build_scheduler(plan: SweepPlan, runs: RunStore, watch: EngineWatch | None) -> PassASHA:
    return PassASHA(**asha_settings(plan.sweep.budget), known=metrics_of_trials(runs, plan.sweep), watch=watch)


def _tune_config(plan: SweepPlan, search: Searcher, scheduler: PassASHA, num_left: int) -> tune.TuneConfig:
    return tune.TuneConfig(
        search_alg=search,
        num_samples=num_left,
        scheduler=scheduler,
        max_concurrent_trials=plan.max_concurrent_trials,
        # those of cohorts start at once
        reuse_actors=not plan.num_cohorts,
        trial_name_creator=_name_trial,
        trial_dirname_creator=_name_trial,
    )


def _name_trial(trial: tune.experiment.Trial) -> str:
    """Our id of a trial, as the name that Ray Tune gives it and its folder."""
    return str(trial.config["trial_id"])
