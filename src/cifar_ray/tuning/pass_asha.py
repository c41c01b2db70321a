"""ASHA that judges the trials of a pass together, and rebuilds its rungs from a sweep's records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from cifar_ray.records import EpochMetrics
from cifar_ray.tuning.engine_watch import EngineWatch
from cifar_ray.tuning.epoch_report import PASS_KEY, TIME_ATTRIBUTE
from cifar_ray.tuning.standing import Standing
from cifar_ray.tuning.tune_patches import limit_exits, patch

HURRY_S = 10
"""Seconds for processes to exit: with the final writes, less than a stopped job's 20 s (RAY_JOB_STOP_WAIT_TIME_S)."""


class Unjudged(NamedTuple):
    """Stands, in a rung, for a trial that this driver has not judged there: it is yet to come, or it has ended."""

    trial_id: str


class PassASHA(ASHAScheduler):
    """Decides like Ray Tune's ASHA, and patches the controller, which only schedulers see (tuning/tune_patches.py).

    The trials of a cohort end a pass together, but Ray Tune receives their results one by one, in no fixed order: each
    is judged against all others of its pass, whichever come first (docs/decisions/0015).

    Ray Tune saves no scheduler for the driver that resumes a sweep: the rungs are rebuilt by judging the epochs in the
    records once more, in order, those of a pass together. Where the records have only a part of a pass, that part is
    judged: a trial at the cutoff may be judged differently.
    """

    def __init__(
        self, *, known: Iterable[EpochMetrics] = (), watch: EngineWatch | None = None, **settings: Any
    ) -> None:
        """`known` are the epochs that earlier drivers recorded; `watch` is that of the cohorts' engines, if any."""
        super().__init__(**settings)
        self._watch = watch
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
            patch(controller, self._watch)
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
        """Wait for trials' processes no longer than Ray Tune does by default: whoever stops a job kills it soon after.

        An unfinished epoch, or one whose checkpoint takes longer to upload, is trained again on resume.
        """
        if self._controller is not None and self._watch is None:
            limit_exits(self._controller, HURRY_S)

    def _announce(self, standings: Iterable[Standing], trial_id: str, epoch: int) -> None:
        """Enter a pass's other trials in the rungs that they have reached, before `trial_id` is judged at `epoch`."""
        for milestone, recorded in self._rungs():
            for each in standings:
                if each.epoch == milestone and self._ray_ids.get(each.trial_id, each.trial_id) not in recorded:
                    recorded[Unjudged(each.trial_id)] = each.validation_accuracy
            if epoch == milestone:
                recorded.pop(Unjudged(trial_id), None)

    def _judge_again(self, line: EpochMetrics, *, may_return: bool) -> None:
        (bracket,) = self._brackets
        decision = bracket.on_result(SimpleNamespace(trial_id=line.trial_id), line.epoch, line.validation_accuracy)
        if decision == ASHAScheduler.STOP and may_return:
            # if its driver died before it was stopped, it is judged when it repeats that epoch; an ended one never does
            for milestone, recorded in self._rungs():
                if milestone == line.epoch:
                    recorded[Unjudged(line.trial_id)] = recorded.pop(line.trial_id)

    def _rungs(self) -> list[tuple[int, dict[str | Unjudged, float]]]:
        """Each rung's epoch and its recorded accuracies; the only bracket has all rungs."""
        (bracket,) = self._brackets
        rungs: list[tuple[int, dict[str | Unjudged, float]]] = bracket._rungs
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
