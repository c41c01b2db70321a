"""A trial of a cohort, in the driver: it joins an engine and waits for its epochs."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.tune.result import RESULT_DUPLICATE

from cifar_ray.errors import DeviceError, NotAMemberError
from cifar_ray.records import EpochMetrics
from cifar_ray.tuning.engine_watch import LOST, EngineWatch
from cifar_ray.tuning.epoch_report import to_result
from cifar_ray.tuning.standing import Standing

DEADLINE_S = 2 * 3600
"""Seconds until a pass, a minute or two on a slow CPU, counts as hung. Ray itself notices an engine that died."""
MAX_LOSSES = 5
"""Most losses of a node in a row, without an epoch in between: beyond that, the nodes are not to blame."""

_LOST = (*LOST, ray.exceptions.GetTimeoutError)


class Member:
    """A trial of a cohort, with those methods of Ray Tune's `Trainable` that Ray Tune calls."""

    def __init__(self, assignment: Mapping[str, Any], watch: EngineWatch) -> None:
        """`assignment` is what `assign` returns."""
        self.trial_id: str = assignment["trial_id"]
        self._assignment = assignment
        self._watch = watch
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
        while engine := self._watch.place(self.trial_id):
            try:
                with closing(self._epochs_of(engine)) as epochs:
                    for metrics, standings in epochs:
                        if metrics.epoch > num_reported:
                            yield metrics, standings
                            num_reported, num_losses = metrics.epoch, 0
                return
            except (*_LOST, NotAMemberError):
                num_losses += 1
                if num_losses > MAX_LOSSES and not self._watch.has_ended:
                    raise

    def _epochs_of(self, engine: ActorHandle) -> Generator[tuple[EpochMetrics, list[Standing]]]:
        """Join, then yield the trial's past and future epochs, the future ones with the standings of their pass."""
        try:
            history: list[EpochMetrics] = ray.get(engine.join.remote(dict(self._assignment)), timeout=DEADLINE_S)
            for metrics in history:
                yield metrics, []
            while epoch := ray.get(engine.next_epoch.remote(self.trial_id), timeout=DEADLINE_S):
                yield epoch
        except (*_LOST, DeviceError) as error:
            is_hung = isinstance(error, ray.exceptions.GetTimeoutError)
            if is_hung:
                ray.kill(engine, no_restart=False)
            self._watch.doubt(engine, is_ending=is_hung or isinstance(error, DeviceError))
            raise
        finally:
            self._watch.release(self.trial_id, engine)
