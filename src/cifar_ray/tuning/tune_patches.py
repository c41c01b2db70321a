"""Changes to Ray Tune that it has no settings for: cohorts, lost nodes, full memory, slow exits, slow starts, keys."""

from __future__ import annotations

from typing import Any

from ray.air._internal import usage
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from cifar_ray.tuning.engine_watch import EngineWatch
from cifar_ray.tuning.epoch_report import TIME_ATTRIBUTE
from cifar_ray.tuning.member import MAX_LOSSES
from cifar_ray.tuning.member_threads import MemberThreads
from cifar_ray.tuning.patient_trainable import STOP_DEADLINE_S

NODE_LOST = ("its node has died", "The actor is temporarily unavailable")
"""Phrases in Ray's message for an actor that was lost with its node; one that dies by itself has other messages."""


def count_no_callbacks() -> None:
    """Keep Ray Tune from loading MLflow and W&B, where they are installed, to count their callbacks among ours.

    They take 1.3 s of CPU time before the first trial, and the count is for Ray's own statistics.
    """
    usage.tag_callbacks = lambda callbacks: False


def pass_on_no_keys() -> None:
    """Keep Ray Tune from copying this process's AWS keys into its trials' runtime environment: Ray logs and shows it.

    Each node has credentials of its own, and the variables that a job was submitted with reach all its processes.
    """
    names = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in names if not name.startswith("AWS_")}


def patch(tune_controller: TuneController, watch: EngineWatch | None) -> None:
    """Apply all that concern the controller. Once per controller: each wraps a method that it finds there.

    `watch` is that of its cohorts' engines; None where each trial trains by itself.
    """
    if watch is not None:
        tune_controller._actor_manager = MemberThreads(watch)
        # at the end of a sweep nobody wants the epochs that they wait for; the engines have a drain of their own
        limit_exits(tune_controller, 0)
        return
    # by default, a process that has not exited ten seconds after the end of a sweep is killed
    limit_exits(tune_controller, STOP_DEADLINE_S)
    _retry_after_out_of_memory(tune_controller)
    handle_lost_processes(tune_controller)


def limit_exits(tune_controller: TuneController, seconds: float) -> None:
    """Give up trials that have not ended so long after the end of a sweep."""
    tune_controller._actor_force_cleanup_timeout = seconds


def handle_lost_processes(tune_controller: TuneController) -> None:
    """Count each lost process once, and the loss of a node not as a failure, up to MAX_LOSSES times in a row."""
    tune_controller._trial_task_failure = _Losses(tune_controller)


def _retry_after_out_of_memory(tune_controller: TuneController) -> None:
    """Have Ray Tune treat a process that Ray killed for filling its node's memory like any other that died.

    Ray Tune does not know the error that Ray raises then, at which the sweep broke off.
    """
    manager = tune_controller._actor_manager
    process_failure = manager._actor_task_failed

    def process_any_failure(*, exception: Exception, **task: Any) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        process_failure(exception=exception, **task)

    manager._actor_task_failed = process_any_failure


class _Losses:
    """Handles failures in place of Ray Tune: the loss of a node, such as a spot instance, does not count as one.

    Moreover, a process that dies while it is being reset for its next trial is reported twice: its death, and the
    failed call. On the first report the trial waits for another process. Ray Tune took the second, of a waiting trial,
    for a final failure, however many retries were left; and it took a trial whose process was lost during a reset for
    one whose process is still being reset.
    """

    def __init__(self, tune_controller: TuneController) -> None:
        self._controller = tune_controller
        self._process_failure = tune_controller._trial_task_failure
        self._lost: dict[str, tuple[int, int]] = {}
        """By trial: its number of epochs when it last lost its node, and its losses in a row at that number."""

    def __call__(self, trial: Trial, exception: Exception) -> None:
        """Replaces the controller's own `_trial_task_failure`."""
        self._controller._resetting_trials.discard(trial)
        is_known = trial.status == Trial.PENDING and trial not in self._controller._trial_to_actor
        if not (is_known and isinstance(exception, RayActorError)):
            if self._is_forgiven(trial, exception):
                # Ray Tune adds 1 to it again before it decides by the sum
                trial.run_metadata.num_failures -= 1
            self._process_failure(trial, exception)

    def _is_forgiven(self, trial: Trial, exception: Exception) -> bool:
        if not any(words in str(exception) for words in NODE_LOST):
            return False
        num_epochs = trial.metric_analysis.get(TIME_ATTRIBUTE, {}).get("max", 0)
        at_epoch, num_losses = self._lost.get(trial.trial_id, (num_epochs, 0))
        num_losses = num_losses + 1 if at_epoch == num_epochs else 1
        self._lost[trial.trial_id] = (num_epochs, num_losses)
        return num_losses <= MAX_LOSSES

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        """Pickle without the controller: Ray Tune pickles all that it holds, into a state that nobody reads."""
        return object, ()
