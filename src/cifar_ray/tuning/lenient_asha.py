"""ASHA that judges the trials of a pass together, and lets them survive lost nodes, full memory and slow exits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from cifar_ray.records import EpochMetrics
from cifar_ray.tuning.epoch_report import PASS_KEY, TIME_ATTRIBUTE
from cifar_ray.tuning.member import MAX_LOSSES
from cifar_ray.tuning.patient_trainable import STOP_DEADLINE_S
from cifar_ray.tuning.standing import Standing

HURRY_S = 10
"""Seconds for processes to exit: with the final writes, less than a stopped job's 20 s (RAY_JOB_STOP_WAIT_TIME_S)."""
NODE_LOST = ("its node has died", "The actor is temporarily unavailable")
"""Phrases in Ray's message for an actor that was lost with its node; one that dies by itself has other messages."""


class Announced(NamedTuple):
    """Stands, in a rung, for a trial that has reached it and is yet to be judged there."""

    trial_id: str


class LenientASHA(ASHAScheduler):
    """Decides like Ray Tune's ASHA, and adjusts the controller, which only schedulers see and no setting reaches.

    The trials of a cohort end a pass together, but Ray Tune receives their results one by one, in no fixed order: each
    is judged against all others of its pass, whichever come first (docs/decisions/0015).

    Ray Tune saves no scheduler for the driver that resumes a sweep: the rungs are rebuilt by judging the epochs in the
    books once more, in order, those of a pass together. Where the books have only a part of a pass, that part is
    judged: a trial at the cutoff may be judged differently.
    """

    def __init__(self, *, known: Iterable[EpochMetrics] = (), **settings: Any) -> None:
        """`known` are the epochs that earlier drivers recorded."""
        super().__init__(**settings)
        self._controller: TuneController | None = None
        self._ray_ids: dict[str, str] = {}
        """Ray Tune's ids of this driver's trials, by ours."""
        lines = list(known)
        passes, last = _passes(lines), {line.trial_id: line for line in lines}
        for line in lines:
            if line.epoch < self._max_t:
                self._announce(passes[_pass_of(line)], line.trial_id, line.epoch)
                # a trial that has trained on since was let through, whatever would be decided now
                self._judge_again(line, may_return=line is last[line.trial_id])

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        # each call gets another wrapper, which does not pass on attributes that are set on it
        controller = getattr(tune_controller, "_tune_controller", tune_controller)
        if self._controller is not controller:
            self._controller = controller
            # by default, a process that has not exited ten seconds after the end of a sweep is killed
            controller._actor_force_cleanup_timeout = STOP_DEADLINE_S
            _let_trials_run_out_of_memory(controller)
            _take_losses_rightly(controller)
        name = trial.config["trial_id"]
        self._ray_ids[name] = trial.trial_id
        for _, recorded in self._rungs():
            # Ray Tune has another id for it in each driver
            if name in recorded:
                recorded[trial.trial_id] = recorded.pop(name)
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        self._announce(result.get(PASS_KEY, ()), trial.config["trial_id"], result.get(TIME_ATTRIBUTE, 0))
        return str(super().on_trial_result(tune_controller, trial, result))

    def hurry(self) -> None:
        """Wait for processes no longer than Ray Tune does by default: whoever stops a job kills it soon after.

        An unfinished epoch, or one whose checkpoint takes longer to upload, is trained again on resume.
        """
        if self._controller is not None:
            self._controller._actor_force_cleanup_timeout = HURRY_S

    def _announce(self, standings: Iterable[Standing], trial_id: str, epoch: int) -> None:
        """Enter a pass's other trials in the rungs that they have reached, before `trial_id` is judged at `epoch`."""
        for milestone, recorded in self._rungs():
            for each in standings:
                if each.epoch == milestone and self._ray_ids.get(each.trial_id, each.trial_id) not in recorded:
                    recorded[Announced(each.trial_id)] = each.validation_accuracy
            if epoch == milestone:
                recorded.pop(Announced(trial_id), None)

    def _judge_again(self, line: EpochMetrics, *, may_return: bool) -> None:
        (bracket,) = self._brackets
        decision = bracket.on_result(SimpleNamespace(trial_id=line.trial_id), line.epoch, line.validation_accuracy)
        if decision == ASHAScheduler.STOP and may_return:
            # if its driver died before it was stopped, it is judged when it repeats that epoch
            for milestone, recorded in self._rungs():
                if milestone == line.epoch:
                    recorded[Announced(line.trial_id)] = recorded.pop(line.trial_id)

    def _rungs(self) -> list[tuple[int, dict[str | Announced, float]]]:
        """Each rung's epoch and its recorded accuracies; the only bracket has all rungs."""
        (bracket,) = self._brackets
        rungs: list[tuple[int, dict[str | Announced, float]]] = bracket._rungs
        return rungs


def _passes(lines: Iterable[EpochMetrics]) -> dict[tuple[object, ...], list[Standing]]:
    """By pass, the standings of the trials that trained an epoch together."""
    passes: defaultdict[tuple[object, ...], list[Standing]] = defaultdict(list)
    for line in lines:
        passes[_pass_of(line)].append(Standing.of(line))
    return passes


def _pass_of(line: EpochMetrics) -> tuple[object, ...]:
    """A key for the line's pass: all lines of a cohort's pass have the same seconds, to the last digit."""
    return (line.num_sharing, line.seconds) if line.num_sharing > 1 else (line.trial_id, line.epoch)


def _let_trials_run_out_of_memory(tune_controller: TuneController) -> None:
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


def _take_losses_rightly(tune_controller: TuneController) -> None:
    tune_controller._trial_task_failure = _Losses(tune_controller)
