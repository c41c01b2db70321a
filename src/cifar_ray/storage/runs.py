"""The records of sweeps in the object store."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from cifar_ray.errors import (
    ConfigurationError,
    ObjectNotFoundError,
    RecordError,
    StorageError,
    StoreUnavailableError,
    SweepExistsError,
    UnknownNameError,
)
from cifar_ray.json_record import Record
from cifar_ray.progress.counting import recounted
from cifar_ray.provenance import Interruption, Resumption, now, seconds_between
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TestScores, TrialRecord
from cifar_ray.resource_use import ResourceUse
from cifar_ray.settings import check_no_user
from cifar_ray.storage import layout
from cifar_ray.storage.answers import TestAnswers
from cifar_ray.storage.lease import LeaseRecord
from cifar_ray.storage.nested_store import NestedStore
from cifar_ray.storage.object_store import ObjectStore, open_store

NUM_READERS = 16
"""Records of trials that are read at once: there may be ten thousand, and a store takes 20 ms or more for each."""

AnyRecord = TypeVar("AnyRecord", bound=Record)
State = Literal["running", "interrupted", "finished", "evaluated"]

SILENT_AFTER_S = 60.0
"""Seconds since the last renewal of its lease after which a driver counts as silent: twelve were due."""


@dataclass(frozen=True, kw_only=True)
class SweepSummary:
    """A sweep as a list shows it."""

    sweep: SweepRecord
    result: SweepResult | None
    """None while it has not finished."""
    scores: TestScores | None
    """None while it has not been evaluated."""
    heartbeat: str | None = None
    """The content of its lease, which changes as long as a driver lives; None without one, or with a result."""

    @property
    def state(self) -> State:
        """Without a result the lease decides; that of a killed driver stays, so the sweep looks as if it ran."""
        if self.result:
            return "evaluated" if self.scores else "finished"
        return "interrupted" if self.heartbeat is None else "running"

    @property
    def silent_since(self) -> str | None:
        """When a driver that is silent last renewed its lease, by its clock; None where it is not, as by this one's."""
        try:
            renewed_at = str(LeaseRecord.from_json(self.heartbeat or "").renewed_at)
            return renewed_at if seconds_between(renewed_at, now()) > SILENT_AFTER_S else None
        except (RecordError, ValueError, TypeError):
            return None


class RunStore:
    """Reads and writes everything that is kept about sweeps, apart from checkpoints."""

    def __init__(self, store: ObjectStore, flags: str = "") -> None:
        """`flags` name the store, for the commands that hints give."""
        self.objects = store
        self.flags = flags

    def finals(self, sweep_id: str) -> RunStore:
        """The store in the sweep's folder that holds its finals, under the id that `layout.finals` gives."""
        return RunStore(NestedStore(self.objects, layout.check_sweep_id(sweep_id)))

    def create_sweep(self, sweep: SweepRecord) -> None:
        """Claim the sweep id; SweepExistsError where it is taken."""
        if self.has_sweep(sweep.sweep_id):
            raise SweepExistsError.of(sweep.sweep_id, self.objects.uri)
        self._write(layout.sweep_record(sweep.sweep_id), sweep)

    def add_interruption(self, sweep_id: str, interruption: Interruption) -> None:
        """Put sweep.json with one more interruption."""
        sweep = self.sweep(sweep_id)
        self._write(layout.sweep_record(sweep_id), replace(sweep, interruptions=(*sweep.interruptions, interruption)))

    def add_resumption(self, sweep_id: str, resumption: Resumption) -> None:
        """Put sweep.json with one more resumption."""
        sweep = self.sweep(sweep_id)
        self._write(layout.sweep_record(sweep_id), replace(sweep, resumptions=(*sweep.resumptions, resumption)))

    def add_trials(self, sweep_id: str, num_trials: int) -> None:
        """Put sweep.json with so many trials in all: what was finished is so no more."""
        # broken off in between, it is a sweep of the former number, which finishes anew
        self.objects.delete(layout.result(sweep_id))
        self._write(layout.sweep_record(sweep_id), replace(self.sweep(sweep_id), num_trials=num_trials))

    def has_sweep(self, sweep_id: str) -> bool:
        """Whether the sweep id is taken."""
        try:
            return self._find(layout.sweep_record(sweep_id)) is not None
        except RecordError:
            # it is taken; whoever reads it gets the error
            return True

    def sweep(self, sweep_id: str) -> SweepRecord:
        """sweep.json; UnknownNameError with the nearest ids where there is none."""
        record = self._find_record(layout.sweep_record(sweep_id), SweepRecord)
        if record is None:
            if not (known := self.sweep_ids()):
                self.check_is_store()
            raise UnknownNameError.of("sweep", sweep_id, known, self.flags)
        if record.sweep_id != sweep_id:
            # its lease and its records would be in two folders
            raise RecordError(
                f"folder {sweep_id} in {self.objects.uri} holds sweep {record.sweep_id}",
                f"a copied or renamed sweep is read in another store, in a folder named {record.sweep_id}",
            )
        return record

    def check_is_store(self) -> None:
        """ConfigurationError where the store's address is that of a sweep inside a store."""
        if self._find(layout.SWEEP_RECORD) is not None:
            store, _, sweep_id = self.objects.uri.rpartition("/")
            what = f"{self.objects.uri} is a sweep, and no store of sweeps"
            raise ConfigurationError(what, f"name the store {store}, and in it {sweep_id}")

    def sweep_ids(self) -> list[str]:
        """The ids of all sweeps, sorted; also of those whose records the store refuses to give."""
        folders = [name for name in self.objects.folders() if layout.SWEEP_ID.fullmatch(name)]
        return [name for name in folders if self._may_be_sweep(name)]

    def _may_be_sweep(self, name: str) -> bool:
        try:
            return self.has_sweep(name)
        except StoreUnavailableError:
            raise
        except StorageError:
            # such as another user's; whoever reads it gets the error
            return True

    def summaries(self, on_unreadable: Callable[[StorageError], None] | None = None) -> list[SweepSummary]:
        """All sweeps, the newest first. Errors of unreadable ones go to `on_unreadable` or, without it, are raised."""
        found = []
        for sweep_id in self.sweep_ids():
            try:
                found.append(self.summary(sweep_id))
            except UnknownNameError:
                continue  # deleted meanwhile
            except StorageError as error:
                if on_unreadable is None or isinstance(error, StoreUnavailableError):
                    raise
                on_unreadable(error)
        return sorted(found, key=lambda summary: summary.sweep.started_at, reverse=True)

    def summary(self, sweep_id: str) -> SweepSummary:
        """The summary of one sweep; UnknownNameError where there is none."""
        sweep, result = self.sweep(sweep_id), self.result(sweep_id)
        heartbeat = None if result else self._heartbeat(sweep)
        if result is None and heartbeat is None:
            # a driver removes its lease after writing the result: it may have done both in between
            result = self.result(sweep_id)
        return SweepSummary(sweep=sweep, result=result, scores=self.test_scores(sweep_id), heartbeat=heartbeat)

    def _heartbeat(self, sweep: SweepRecord) -> str | None:
        # finals are in the folder of their sweep, whose driver trains them
        lease = self._find(layout.LEASE if sweep.parent else layout.lease(sweep.sweep_id))
        return None if lease is None else lease.decode(errors="replace")[:500]

    def write_trial(self, sweep_id: str, trial: TrialRecord) -> None:
        """Put trial.json."""
        self._write(layout.trial_record(sweep_id, trial.trial_id), trial)

    def trials(self, sweep_id: str) -> list[TrialRecord]:
        """All trials that have started, by trial id."""
        keys = [key for key in self.objects.keys(layout.trials(sweep_id)) if key.endswith("/trial.json")]
        # t10000 comes after t9999
        keys.sort(key=lambda key: (len(key), key))
        readers = ThreadPoolExecutor(NUM_READERS)
        try:
            contents = list(readers.map(self.objects.read, keys))
        finally:
            # who interrupts it does not wait for a store that is away
            readers.shutdown(wait=False, cancel_futures=True)
        return [_decoded(TrialRecord, content, key) for key, content in zip(keys, contents, strict=True)]

    def trials_so_far(self, sweep_id: str, metrics: Sequence[EpochMetrics] | None = None) -> list[TrialRecord]:
        """As `trials`, but running ones count the epochs of metrics.jsonl: their own records are updated at their end.

        `metrics` are those of the sweep where they have been read already.
        """
        trials = self.trials(sweep_id)
        if not any(trial.outcome == "running" for trial in trials):
            return trials
        metrics = self.metrics(sweep_id) if metrics is None else metrics
        accelerators = self.sweep(sweep_id).accelerators_per_trial
        return [recounted(each, metrics, accelerators) if each.outcome == "running" else each for each in trials]

    def write_metrics(self, sweep_id: str, metrics: Iterable[EpochMetrics]) -> None:
        """Put metrics.jsonl, whole."""
        lines = "".join(f"{line.to_json(indent=None)}\n" for line in metrics)
        self.objects.write(layout.metrics(sweep_id), lines.encode())

    def metrics(self, sweep_id: str) -> list[EpochMetrics]:
        """The lines of metrics.jsonl, in the order in which they came; none before the first epoch."""
        where = layout.metrics(sweep_id)
        lines = (self._find(where) or b"").splitlines()
        return [_decoded(EpochMetrics, line, f"{where}, line {number}") for number, line in enumerate(lines, 1)]

    def write_use(self, sweep_id: str, use: ResourceUse) -> None:
        """Put use.json."""
        self._write(layout.use(sweep_id), use)

    def use(self, sweep_id: str) -> ResourceUse:
        """use.json; an empty record where there is none."""
        return self._find_record(layout.use(sweep_id), ResourceUse) or ResourceUse()

    def write_result(self, result: SweepResult) -> None:
        """Put result.json, which says that the sweep has finished."""
        self._write(layout.result(result.sweep_id), result)

    def result(self, sweep_id: str) -> SweepResult | None:
        """result.json; None while the sweep has not finished."""
        return self._find_record(layout.result(sweep_id), SweepResult)

    def write_test_scores(self, scores: TestScores) -> None:
        """Put test_scores.json."""
        self._write(layout.test_scores(scores.sweep_id), scores)

    def test_scores(self, sweep_id: str) -> TestScores | None:
        """test_scores.json; None while the winner has not been evaluated."""
        return self._find_record(layout.test_scores(sweep_id), TestScores)

    def write_answers(self, answers: TestAnswers) -> None:
        """Put answers.json."""
        self._write(layout.answers(answers.sweep_id), answers)

    def answers(self, scores: TestScores) -> TestAnswers | None:
        """The answers behind the scores; None if a version without them scored. RecordError where they do not match."""
        answers = self._find_record(layout.answers(scores.sweep_id), TestAnswers)
        if answers is not None:
            answers.check(scores.test_fingerprint, scores.confusion_matrix)
        return answers

    def _find(self, key: str) -> bytes | None:
        try:
            return self.objects.read(key)
        except ObjectNotFoundError:
            return None

    def _find_record(self, key: str, kind: type[AnyRecord]) -> AnyRecord | None:
        content = self._find(key)
        return None if content is None else _decoded(kind, content, key)

    def _write(self, key: str, record: Record) -> None:
        self.objects.write(key, record.to_json().encode())


def open_sweep(address: str | os.PathLike[str]) -> tuple[RunStore, str]:
    """The store and the id in `<store>/<sweep id>`: an `s3://` URI or a folder.

    ConfigurationError where that is malformed, or names a store.
    """
    uri = os.fspath(address)
    check_no_user("the sweep", uri)
    store, separator, sweep_id = uri.rstrip("/").rpartition("/")
    if separator and store in ("", "s3:/"):
        raise ConfigurationError(f"{uri!r} names no sweep", "write s3://bucket/prefix/SWEEP or FOLDER/SWEEP")
    runs = RunStore(open_store(store or "."), f" --storage {shlex.quote(store or '.')}")
    if not layout.SWEEP_ID.fullmatch(sweep_id) or not runs.has_sweep(sweep_id):
        inner = RunStore(open_store(uri)).sweep_ids()
        if inner:
            raise ConfigurationError(
                f"{uri} is a store of sweeps, and no sweep", f"name one of them: {uri.rstrip('/')}/{inner[-1]}"
            )
    return runs, layout.check_sweep_id(sweep_id)


def _decoded(kind: type[AnyRecord], content: bytes, where: str) -> AnyRecord:
    """The decoded record; RecordError, with the place, where it is damaged."""
    try:
        return kind.from_json(content)
    except RecordError as error:
        raise RecordError(f"{where}: {error.message}", error.hint) from error
