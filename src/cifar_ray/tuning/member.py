"""A trial of a cohort, in the driver: it joins an engine and waits for its epochs."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.tune.result import RESULT_DUPLICATE

from cifar_ray.errors import NotAMemberError
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.uploading import DRAIN_DEADLINE_S
from cifar_ray.tuning.engine_watch import EngineWatch
from cifar_ray.tuning.epoch_report import to_result
from cifar_ray.tuning.standing import Standing

DEADLINE_S = 2 * 3600
"""Seconds until a pass, a minute or two on a slow CPU, counts as hung. Ray itself notices an engine that died."""
RETURN_PERIOD_S = 2.0
ANSWER_DEADLINE_S = 1.0
"""Seconds for the other engines to answer, once one has."""
START_DEADLINE_S = 20.0
"""The same before the sweep's first trial has joined: they start together where their nodes are up."""
MAX_LOSSES = 5
"""Most losses of a node in a row, without an epoch in between: beyond that, the nodes are not to blame."""

_GONE = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError)
_LOSSES = (*_GONE, ray.exceptions.GetTimeoutError, NotAMemberError)


class Member:
    """A trial of a cohort, with those methods of Ray Tune's `Trainable` that Ray Tune calls."""

    def __init__(self, assignment: Mapping[str, Any], watch: EngineWatch, number: int) -> None:
        """`assignment` is what `assign` returns; `number` counts the driver's trials, for these to spread evenly."""
        self.trial_id: str = assignment["trial_id"]
        self._assignment = assignment
        self._watch = watch
        self._number = number
        self._epochs = self._all_epochs()

    def train(self) -> dict[str, Any]:
        """Wait for the trial's next epoch; returns what Ray Tune is told of it. Raises what ended its pass."""
        epoch = next(self._epochs, None)
        return {RESULT_DUPLICATE: True} if epoch is None else to_result(*epoch)

    def stop(self) -> None:
        """Let the trial go; not while another thread waits in `train`."""
        self._epochs.close()

    def _all_epochs(self) -> Generator[tuple[EpochMetrics, list[Standing]]]:
        """The trial's epochs, each with the standings of its pass; none where a resumed trial repeats it.

        An engine that dies with its node, such as a spot instance, comes back on another: the trial joins whichever is
        up, and resumes from its newest checkpoint. Ray Tune notices nothing, and the trial keeps all its retries.
        An engine that hangs comes back, too: the first trial whose wait times out kills it.
        """
        num_reported = num_losses = 0
        while engine := self._choose_engine():
            try:
                with closing(self._epochs_of(engine)) as epochs:
                    for metrics, standings in epochs:
                        if metrics.epoch > num_reported:
                            yield metrics, standings
                            num_reported, num_losses = metrics.epoch, 0
                return
            except _LOSSES as error:
                num_losses += 1
                if num_losses > MAX_LOSSES and not self._watch.has_ended:
                    raise
                if isinstance(error, ray.exceptions.GetTimeoutError):
                    ray.kill(engine, no_restart=False)

    def _epochs_of(self, engine: ActorHandle) -> Generator[tuple[EpochMetrics, list[Standing]]]:
        """Join, then yield the trial's past and future epochs, the future ones with the standings of their pass."""
        history: list[EpochMetrics] = ray.get(engine.join.remote(dict(self._assignment)), timeout=DEADLINE_S)
        self._watch.note_joined(self.trial_id)
        try:
            for metrics in history:
                yield metrics, []
            while epoch := ray.get(engine.next_epoch.remote(self.trial_id), timeout=DEADLINE_S):
                yield epoch
        finally:
            # not waited for: its checkpoints may take minutes to reach the store
            engine.leave.remote(self.trial_id)

    def _choose_engine(self) -> ActorHandle | None:
        """The engine with the fewest members, once the others have let the trial go; None once the sweep has ended.

        Trials that start together spread over those that have equally few.

        An engine whose node is not up yet does not answer, and one that is restarting answers with an error: where no
        other is up they are waited for. Raises that error where none ever will come back.
        """
        engines = self._watch.engines
        while not self._watch.has_ended:
            asked = [engine.num_members.remote() for engine in engines]
            # for as long as it takes, as a trial that trains by itself waits
            while not ray.wait(asked, timeout=RETURN_PERIOD_S)[0]:
                if self._watch.has_ended:
                    return None
            for patience_s in (ANSWER_DEADLINE_S, START_DEADLINE_S):
                answered, silent = ray.wait(asked, num_returns=len(asked), timeout=patience_s)
                loads, gone = _read({asked.index(answer): answer for answer in answered})
                if not silent or self._watch.has_begun:
                    break
            if loads:
                chosen = min(loads, key=lambda index: (loads[index], (index - self._number) % len(engines)))
                _leave([engines[index] for index in loads if index != chosen], self.trial_id)
                return None if self._watch.has_ended else engines[chosen]
            if not silent and all(isinstance(each, ray.exceptions.ActorDiedError) for each in gone):
                raise gone[0]
            time.sleep(RETURN_PERIOD_S)
        return None


def _leave(engines: Sequence[ActorHandle], trial_id: str) -> None:
    """Have these engines let the trial go: one may have been out of reach only. Two would prune its epochs."""
    asked = [engine.leave.remote(trial_id) for engine in engines]
    if asked:
        # one that dies meanwhile has let it go, too
        ray.wait(asked, num_returns=len(asked), timeout=DRAIN_DEADLINE_S)


def _read(answers: Mapping[int, ray.ObjectRef]) -> tuple[dict[int, int], list[ray.exceptions.RayError]]:
    """How many members each engine has that is up, by its index, and the errors of the others."""
    loads: dict[int, int] = {}
    gone: list[ray.exceptions.RayError] = []
    for index, answer in answers.items():
        try:
            loads[index] = ray.get(answer)
        except _GONE as error:
            gone.append(error)
    return loads, gone
