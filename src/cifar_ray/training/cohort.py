"""A cohort: many small trials that train as one network on shared batches."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import chain, groupby, pairwise

import torch
from torch import Tensor

from cifar_ray.data.resident import ResidentBatches
from cifar_ray.data.split import TrainingData
from cifar_ray.errors import DeviceError, StorageError
from cifar_ray.records import EpochMetrics
from cifar_ray.settings import read_settings
from cifar_ray.studies import TrialConfig
from cifar_ray.training.device import choose_device, choose_precision, keep_freed_memory, name_device
from cifar_ray.training.feeds import training_feed, validation_feed
from cifar_ray.training.fused_group import FusedGroup
from cifar_ray.training.learner import Learner, Trial

NUM_UPLOAD_THREADS = 2
MAX_FUSED_ON_CPU = 8
"""Models in one network: with more, a step's activations outgrow the caches (docs/performance.md)."""
NUM_STREAMS = 4
"""Groups that run on an accelerator at once: with batch norm or without, augmented or not. Further groups queue."""


class Cohort:
    """Trials on one device that make each pass over the data together.

    Trials join and leave between passes, each at its own epoch, and may differ in every setting that is `in_cohorts`.
    The batches of a pass are the same for all: their order and augmentation depend on `data_seed` and the cohort's
    count of passes (docs/decisions/0005). On the CPU the trials are divided among `num_threads` threads; on an
    accelerator each network shape runs on a CUDA stream of its own, since one alone does not keep the device busy.
    """

    def __init__(self, data: TrainingData, *, data_seed: int, num_threads: int = 1) -> None:
        keep_freed_memory()
        self._data = data
        self._data_seed = data_seed
        self._device = choose_device()
        self._precision = choose_precision(self._device)
        self._records = self._device.type == "cuda" and read_settings().compiles is not False
        self._num_threads = num_threads if self._device.type == "cpu" else NUM_STREAMS
        self._data_pass = 0
        self._learners: dict[str, Learner] = {}
        self.failures: dict[str, StorageError] = {}
        """Of the last pass, by trial: why its checkpoints are not stored. It has no epoch and must be added again."""
        self._feeds: dict[tuple[int, bool], ResidentBatches] = {}
        self._feeding = threading.Lock()
        self._validation = validation_feed(data, self._device)
        self._uploads = ThreadPoolExecutor(NUM_UPLOAD_THREADS, "upload")
        self._threads = ThreadPoolExecutor(self._num_threads, "cohort", _take_stream, (self._device,))

    def add(self, trial: Trial) -> Learner:
        """Add a trial, restored from its newest complete checkpoint if it has one; CheckpointError as in `Learner`."""
        learner = Learner(
            trial, device=self._device, steps_per_epoch=self._feed(trial.config).num_batches, executor=self._uploads
        )
        self._learners[trial.trial_id] = learner
        return learner

    def remove(self, trial_id: str) -> None:
        """Remove a trial, even during a pass, and wait until its checkpoints are stored; StorageError if they fail."""
        self._learners.pop(trial_id).drain()

    def close(self) -> None:
        """Wait for submitted uploads, then shut the cohort's threads down."""
        self._uploads.shutdown()
        self._threads.shutdown(wait=False)

    def train_epoch(self, trial_ids: Collection[str]) -> list[EpochMetrics]:
        """Make a pass with those of these unfinished trials that are members: an epoch of each, sorted by trial id.

        A trial whose checkpoints could not be stored is left out, and its error is in `failures`.
        DeviceError where the accelerator fails or a step cannot be recorded, as with full memory: the cohort is then
        unusable. At any other time full memory raises torch.OutOfMemoryError.
        """
        self.failures = {}
        learners = [learner for trial_id in sorted(trial_ids) if (learner := self._learners.get(trial_id))]
        if not learners:
            return []
        self._data_pass = 1 + max(self._data_pass, *(learner.data_pass for learner in learners))
        feeds = {_shape(learner)[:2]: self._feed(learner.trial.config) for learner in learners}
        for feed in feeds.values():
            feed.set_epoch(self._data_pass)
        with self._feeding:
            # others would keep the images on an accelerator once more, for no member of this pass
            self._feeds = feeds
        try:
            metrics = self._make_pass(learners)
        except RuntimeError as error:
            if not _is_of_device(error):
                raise
            raise DeviceError(f"a pass failed on {name_device(self._device, self._precision)}: {error}") from error
        return sorted(metrics, key=lambda line: line.trial_id)

    def _make_pass(self, learners: Sequence[Learner]) -> list[EpochMetrics]:
        started = time.perf_counter()
        # the largest first, so that the threads finish at about the same time
        training = [self._threads.submit(self._train, group) for group in self._cut(learners)]
        # for all, even if one fails: the next pass must not find threads still at work on this one
        wait(training)
        errors = [error for each in training if (error := each.exception()) is not None]
        if errors:
            # one that means the end of the process, whatever else went wrong beside it
            raise next(filter(_ends_process, errors), errors[0])
        groups = [each.result() for each in training]
        seconds = time.perf_counter() - started
        metrics = [line for group in groups for line in self._read(group, seconds, len(learners))]
        for line in metrics:
            # a trial removed during the pass does not need it
            if learner := self._learners.get(line.trial_id):
                try:
                    learner.end_epoch(line, self._data_pass)
                except StorageError as error:
                    self.failures[line.trial_id] = error
        return [line for line in metrics if line.trial_id not in self.failures]

    def _train(self, learners: Sequence[Learner]) -> FusedGroup:
        """Train and validate learners that can form one network, on this thread."""
        # a team of OpenMP threads slows so small a network down, even the last one running (docs/performance.md)
        torch.set_num_threads(1)
        feeds = list({id(feed): feed for feed in (self._feed(learner.trial.config) for learner in learners)}.values())
        with _on_stream(self._device, learners):
            group = FusedGroup(learners, self._device, self._precision, records=self._records)
            try:
                for versions in zip(*map(chain.from_iterable, feeds), strict=True):
                    # all feeds have the same order, and thus the same labels
                    group.train(_join([images for images, _ in versions]), versions[0][1])
                group.end_pass()
                with group.averaged():
                    for images, labels in chain.from_iterable(self._validation):
                        group.validate(images, labels)
            finally:
                group.release()
        return group

    def _cut(self, learners: Sequence[Learner]) -> list[Sequence[Learner]]:
        """Groups of one batch size, largest first: of one network shape on an accelerator, cache-sized on the CPU."""
        most = len(learners)
        num_in_common = len(_shape(learners[0]))
        if self._device.type == "cpu":
            most = min(MAX_FUSED_ON_CPU, math.ceil(len(learners) / self._num_threads))
            num_in_common = 1
        alike = groupby(sorted(learners, key=_shape), key=lambda learner: _shape(learner)[:num_in_common])
        groups = [part for _, members in alike for part in _cut_evenly(list(members), most)]
        return sorted(groups, key=len, reverse=True)

    def _feed(self, config: TrialConfig) -> ResidentBatches:
        key = (config.batch_size, config.augmentation)
        with self._feeding:
            if key not in self._feeds:
                self._feeds[key] = training_feed(self._data, config, self._device, self._data_seed)
            return self._feeds[key]

    def _read(self, group: FusedGroup, seconds: float, num_sharing: int) -> Iterator[EpochMetrics]:
        """The metrics of the group's learners. Waits for the device."""
        tallies = zip(group.train_tally.means(), group.validation_tally.means(), strict=True)
        for index, (train, validation) in enumerate(tallies):
            yield EpochMetrics(
                trial_id=group.learners[index].trial.trial_id,
                epoch=group.learners[index].epoch,
                train_loss=train[0],
                train_accuracy=train[1],
                validation_loss=validation[0],
                validation_accuracy=validation[1],
                learning_rate=group.learning_rates[index],
                seconds=seconds,
                num_sharing=num_sharing,
                device=name_device(self._device, group.precision),
            )


def _ends_process(error: BaseException) -> bool:
    """Whether no later pass can succeed in this process."""
    return isinstance(error, DeviceError) or (isinstance(error, RuntimeError) and _is_of_device(error))


def _is_of_device(error: RuntimeError) -> bool:
    """Whether the accelerator has failed, so that every later call fails too; full memory is no failure."""
    named = any(name in str(error) for name in ("CUDA", "cuDNN", "CUDNN", "CUBLAS"))
    return not isinstance(error, torch.OutOfMemoryError) and (isinstance(error, torch.AcceleratorError) or named)


def _take_stream(device: torch.device) -> None:
    """Give this thread a CUDA stream of its own."""
    if device.type == "cuda":
        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]  # torch's own


@contextmanager
def _on_stream(device: torch.device, learners: Sequence[Learner]) -> Iterator[None]:
    """On an accelerator, run the block after all work queued on the default stream, and wait for it at the end."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.current_stream()
    stream.wait_stream(torch.cuda.default_stream())
    # hold the learners' tensors: once freed, other streams may reuse their memory while this one has yet to read them
    former = [(learner.network.state_dict(), learner.optimizer.state_dict()) for learner in learners]
    try:
        yield
    finally:
        stream.synchronize()
        del former


def _cut_evenly(learners: Sequence[Learner], most: int) -> list[Sequence[Learner]]:
    num_parts = math.ceil(len(learners) / most)
    bounds = [len(learners) * index // num_parts for index in range(num_parts + 1)]
    return [learners[start:end] for start, end in pairwise(bounds)]


def _shape(learner: Learner) -> tuple[int, bool, bool]:
    """What learners are grouped by: their batches, then their layers."""
    config = learner.trial.config
    return config.batch_size, config.augmentation, config.batch_norm


def _join(versions: Sequence[Tensor]) -> Tensor:
    return versions[0] if len(versions) == 1 else torch.cat(list(versions))
