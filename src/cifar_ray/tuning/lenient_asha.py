"""ASHA that judges a pass as one, in a Ray Tune where trials end in order, fill memory alone, lose nodes unharmed."""

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
"""With what is written at the end, less than the 20 s that a job has from the signal on (RAY_JOB_STOP_WAIT_TIME_S)."""
NODE_LOST = ("its node has died", "The actor is temporarily unavailable")
"""In Ray's words for an actor that was lost with its node; one that dies by itself has others."""


class Announced(NamedTuple):
    """In a rung, in the place of a trial that has come so far and is yet to be judged there."""

    trial_id: str


class LenientASHA(ASHAScheduler):
    """Ray Tune's own decisions. It shows its controller to schedulers alone, and has no settings for the rest.

    The trials of a cohort end their passes together, and Ray Tune hears of one after another, in no order: each is
    judged against all others of its pass, whichever come first (docs/decisions/0015).

    Ray Tune keeps no scheduler for the driver that goes on with a sweep: the rungs are put back by judging once more,
    in their order, the epochs that the books have, those of a pass together. Of a pass that they have a part of, it is
    that part: one at the cutoff may be judged otherwise.
    """

    def __init__(self, *, known: Iterable[EpochMetrics] = (), **settings: Any) -> None:
        """`known` are the epochs that earlier drivers have heard of."""
        super().__init__(**settings)
        self._controller: TuneController | None = None
        self._ray_ids: dict[str, str] = {}
        """Ray Tune's names of this driver's trials."""
        lines = list(known)
        passes, last = _passes(lines), {line.trial_id: line for line in lines}
        for line in lines:
            if line.epoch < self._max_t:
                self._announce(passes[_pass_of(line)], line.trial_id, line.epoch)
                # who has trained on since was let through, whatever would be said of it now
                self._judge_again(line, may_return=line is last[line.trial_id])

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        # each call has another wrapper, which keeps to itself what is set on it
        controller = getattr(tune_controller, "_tune_controller", tune_controller)
        if self._controller is not controller:
            self._controller = controller
            # at the end of a sweep it would kill a process that has not ended within ten seconds
            controller._actor_force_cleanup_timeout = STOP_DEADLINE_S
            _let_trials_run_out_of_memory(controller)
            _take_losses_rightly(controller)
        name = trial.config["trial_id"]
        self._ray_ids[name] = trial.trial_id
        for _, recorded in self._rungs():
            # Ray Tune has another name for it in each driver
            if name in recorded:
                recorded[trial.trial_id] = recorded.pop(name)
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        self._announce(result.get(PASS_KEY, ()), trial.config["trial_id"], result.get(TIME_ATTRIBUTE, 0))
        return str(super().on_trial_result(tune_controller, trial, result))

    def hurry(self) -> None:
        """Wait for processes as shortly as Ray Tune does by itself: whoever tells a job to stop kills it soon after.

        An epoch that trains, and a checkpoint that takes longer to arrive, are trained once more on resume.
        """
        if self._controller is not None:
            self._controller._actor_force_cleanup_timeout = HURRY_S

    def _announce(self, standings: Iterable[Standing], trial_id: str, epoch: int) -> None:
        """Let the trial, judged next after that epoch, find all others of its pass in the rungs they have come to."""
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
            # where its driver died before it was stopped, it is to be judged when it repeats that epoch
            for milestone, recorded in self._rungs():
                if milestone == line.epoch:
                    recorded[Announced(line.trial_id)] = recorded.pop(line.trial_id)

    def _rungs(self) -> list[tuple[int, dict[str | Announced, float]]]:
        """Each rung's epoch, and what it has recorded: one bracket has them all."""
        (bracket,) = self._brackets
        rungs: list[tuple[int, dict[str | Announced, float]]] = bracket._rungs
        return rungs


def _passes(lines: Iterable[EpochMetrics]) -> dict[tuple[object, ...], list[Standing]]:
    """How the trials stood that made an epoch together."""
    passes: defaultdict[tuple[object, ...], list[Standing]] = defaultdict(list)
    for line in lines:
        passes[_pass_of(line)].append(Standing.of(line))
    return passes


def _pass_of(line: EpochMetrics) -> tuple[object, ...]:
    """A name of it: all lines of a cohort's pass have its seconds, to the last digit."""
    return (line.num_sharing, line.seconds) if line.num_sharing > 1 else (line.trial_id, line.epoch)


def _let_trials_run_out_of_memory(tune_controller: TuneController) -> None:
    """Ray ends the process that fills a node's memory with an error that Ray Tune does not know: the sweep broke off.

    It is a process that died, like others.
    """
    manager = tune_controller._actor_manager
    process_failure = manager._actor_task_failed

    def process_any_failure(*, exception: Exception, **task: Any) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        process_failure(exception=exception, **task)

    manager._actor_task_failed = process_any_failure


class _Losses:
    """A trial whose node died, as a spot instance does, has not failed: Ray Tune would count that with its failures.

    And a process that dies as it is being made ready for its next trial is reported twice, of itself and of that call.
    On the first report the trial waits for another process. Ray Tune took the second, of a trial that waits, for one
    that had failed for good, however often it might be tried again; and it held a trial whose process was once made
    ready, and lost, for one that is being made ready still.
    """

    def __init__(self, tune_controller: TuneController) -> None:
        self._controller = tune_controller
        self._process_failure = tune_controller._trial_task_failure
        self._lost: dict[str, tuple[int, int]] = {}
        """By trial: its epochs when it last lost its node, and how often it has since the epoch before."""

    def __call__(self, trial: Trial, exception: Exception) -> None:
        """In the place of the controller's own."""
        self._controller._resetting_trials.discard(trial)
        is_known = trial.status == Trial.PENDING and trial not in self._controller._trial_to_actor
        if not (is_known and isinstance(exception, RayActorError)):
            if self._is_forgiven(trial, exception):
                # Ray Tune counts it and then judges by the sum
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
        """Ray Tune pickles all that its controller has, into a state that nobody reads: not the controller again."""
        return object, ()


def _take_losses_rightly(tune_controller: TuneController) -> None:
    tune_controller._trial_task_failure = _Losses(tune_controller)
