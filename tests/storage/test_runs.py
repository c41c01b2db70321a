import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cifar_ray.errors import (
    ConfigurationError,
    RecordError,
    StorageError,
    StoreUnavailableError,
    SweepExistsError,
    UnknownNameError,
)
from cifar_ray.provenance import Interruption, Resumption
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TrialRecord
from cifar_ray.storage import layout
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.lease import Lease, LeaseRecord
from cifar_ray.storage.runs import RunStore


def test_a_sweep_id_is_given_once(runs: RunStore, sweep_record: SweepRecord) -> None:
    runs.create_sweep(sweep_record)
    with pytest.raises(SweepExistsError) as caught:
        runs.create_sweep(sweep_record)
    assert "--resume" in str(caught.value.hint)


def test_unknown_sweeps_name_the_nearest(runs: RunStore, sweep_record: SweepRecord) -> None:
    runs.create_sweep(sweep_record)
    with pytest.raises(UnknownNameError) as caught:
        runs.sweep("cnn-2")
    assert caught.value.hint == "did you mean cnn-1?"


def test_a_sweep_in_the_place_of_its_store_is_named(runs: RunStore, sweep_record: SweepRecord) -> None:
    runs.create_sweep(sweep_record)
    within = RunStore(FolderStore(Path(runs.objects.uri) / "cnn-1"))
    for look in (within.check_is_store, lambda: within.sweep("cnn-1")):
        with pytest.raises(ConfigurationError, match="cnn-1 is a sweep") as caught:
            look()
        assert caught.value.hint == f"name the store {runs.objects.uri}, and in it cnn-1"


def test_records_there_and_back(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    runs.create_sweep(sweep_record)
    assert runs.metrics("cnn-1") == []
    runs.write_trial("cnn-1", trial_record)
    runs.write_metrics("cnn-1", epoch_metrics)
    assert runs.sweep("cnn-1") == sweep_record
    assert runs.trials("cnn-1") == [trial_record]
    assert runs.metrics("cnn-1") == epoch_metrics
    assert (runs.result("cnn-1"), runs.test_scores("cnn-1")) == (None, None)
    assert [summary.sweep.sweep_id for summary in runs.summaries()] == ["cnn-1"]


def test_the_records_of_many_trials_are_read_together(
    runs: RunStore, trial_record: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In turn, ten thousand would take minutes."""
    records = [replace(trial_record, trial_id=layout.trial_id(index)) for index in range(20)]
    for record in records:
        runs.write_trial("cnn-1", record)
    together = threading.Barrier(8)
    read = FolderStore.read

    def wait_and_read(store: FolderStore, key: str) -> bytes:
        if key < layout.trial_record("cnn-1", layout.trial_id(8)):
            together.wait(20)
        return read(store, key)

    monkeypatch.setattr(FolderStore, "read", wait_and_read)
    assert runs.trials("cnn-1") == records


def test_no_other_record_is_waited_for_where_one_cannot_be_read(
    runs: RunStore, trial_record: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever interrupts a driver does not wait for a store that is away, either."""
    for index in range(2):
        runs.write_trial("cnn-1", replace(trial_record, trial_id=layout.trial_id(index)))
    is_back, was_back = threading.Event(), []

    def read(store: FolderStore, key: str) -> bytes:
        if key == layout.trial_record("cnn-1", layout.trial_id(0)):
            raise StorageError("it is away")
        was_back.append(is_back.wait(20))
        return b""

    monkeypatch.setattr(FolderStore, "read", read)
    with pytest.raises(StorageError, match="it is away"):
        runs.trials("cnn-1")
    assert not was_back
    is_back.set()


def test_interruptions_are_added_to_the_sweeps_record(runs: RunStore, sweep_record: SweepRecord) -> None:
    runs.create_sweep(sweep_record)
    ends = [Interruption(at=f"2026-01-0{day}T00:00:00+00:00", why="it was told to") for day in (1, 2)]
    for end in ends:
        runs.add_interruption("cnn-1", end)
    assert runs.sweep("cnn-1") == replace(sweep_record, interruptions=tuple(ends))


def test_a_resumption_is_added_to_the_sweeps_record(runs: RunStore, sweep_record: SweepRecord) -> None:
    runs.create_sweep(sweep_record)
    assert (runs.sweep("cnn-1").has_pauses, runs.sweep("cnn-1").commits) == (False, (sweep_record.commit,))
    with_card = {"accelerator_types": "T4"}
    resumption = Resumption(at="2026-01-01T00:00:00+00:00", commit="def", versions={}, hardware=with_card)
    runs.add_resumption("cnn-1", resumption)
    assert runs.sweep("cnn-1") == replace(sweep_record, resumptions=(resumption,))
    assert (runs.sweep("cnn-1").has_pauses, runs.sweep("cnn-1").commits) == (True, (sweep_record.commit, "def"))


def test_other_folders_are_no_sweeps(runs: RunStore) -> None:
    runs.objects.write("notes/readme.txt", b"")
    runs.objects.write(".probe/x", b"")
    assert runs.sweep_ids() == []


def test_a_record_that_is_none_is_named(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    runs.create_sweep(sweep_record)
    runs.create_sweep(replace(sweep_record, sweep_id="cnn-2"))
    runs.write_metrics("cnn-2", epoch_metrics)
    whole = runs.objects.read("cnn-2/metrics.jsonl")
    runs.objects.write("cnn-2/metrics.jsonl", whole.replace(b"t0001", b"t\xff001"))
    with pytest.raises(RecordError, match=r"^cnn-2/metrics.jsonl, line 5: EpochMetrics: Invalid JSON"):
        runs.metrics("cnn-2")
    runs.objects.write("cnn-2/result.json", b'{"wall_secs": 3}')
    with pytest.raises(RecordError, match=r"^cnn-2/result.json: SweepResult.sweep_id: Field required"):
        runs.summaries()
    found: list[RecordError] = []
    assert [each.sweep.sweep_id for each in runs.summaries(found.append)] == ["cnn-1"]
    assert [each.message.partition(":")[0] for each in found] == ["cnn-2/result.json"]


def test_a_sweep_in_a_folder_of_another_name_is_refused(runs: RunStore, sweep_record: SweepRecord) -> None:
    """Its lease would be in one folder and its scores in the other: the test set would be opened again and again."""
    runs.create_sweep(sweep_record)
    runs.objects.write("copy/sweep.json", runs.objects.read("cnn-1/sweep.json"))
    unreadable: list[StorageError] = []
    assert [each.sweep.sweep_id for each in runs.summaries(unreadable.append)] == ["cnn-1"]
    assert [error.message.partition(" in ")[0] for error in unreadable] == ["folder copy"]
    with pytest.raises(RecordError, match="holds sweep cnn-1"):
        runs.sweep("copy")


def test_trials_come_by_their_number(runs: RunStore, trial_record: TrialRecord) -> None:
    """A population finds parents by their places: the ten thousandth trial stands behind all before it."""
    for name in ("t9999", "t10000", "t1000"):
        runs.write_trial("cnn-1", replace(trial_record, trial_id=name))
    assert [each.trial_id for each in runs.trials("cnn-1")] == ["t1000", "t9999", "t10000"]


class Shared(FolderStore):
    """Has another user's sweep, b-1, which it does not give: permissions do not bind root, who may run this test."""

    def folders(self) -> list[str]:
        return ["b-1", *super().folders()]

    def read(self, key: str) -> bytes:
        if key.startswith("b-1/"):
            raise StorageError(f"cannot read {key!r}: Permission denied")
        return super().read(key)


def test_another_users_sweep_leaves_the_others(tmp_path: Path, sweep_record: SweepRecord) -> None:
    runs = RunStore(Shared(tmp_path))
    runs.create_sweep(sweep_record)
    assert runs.sweep_ids() == ["b-1", "cnn-1"]
    with pytest.raises(UnknownNameError) as mistyped:
        runs.sweep("cnn-2")
    assert mistyped.value.hint == "did you mean cnn-1?"
    found: list[StorageError] = []
    assert [each.sweep.sweep_id for each in runs.summaries(found.append)] == ["cnn-1"]
    assert [each.message for each in found] == ["cannot read 'b-1/sweep.json': Permission denied"]
    theirs = replace(sweep_record, sweep_id="b-1")
    for refused in (runs.summaries, lambda: runs.sweep("b-1"), lambda: runs.create_sweep(theirs)):
        with pytest.raises(StorageError, match="Permission denied"):
            refused()


def test_a_sweep_that_is_deleted_while_all_are_read_is_passed_over(
    tmp_path: Path, sweep_record: SweepRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = RunStore(FolderStore(tmp_path))
    runs.create_sweep(sweep_record)
    monkeypatch.setattr(runs, "sweep_ids", lambda: ["a-1", "cnn-1"])
    found: list[StorageError] = []
    assert [each.sweep.sweep_id for each in runs.summaries(found.append)] == ["cnn-1"]
    assert found == []


def test_a_store_that_does_not_answer_has_no_unreadable_sweep(
    runs: RunStore, sweep_record: SweepRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(key: str) -> bytes:
        raise StoreUnavailableError("no answer")

    runs.create_sweep(sweep_record)
    monkeypatch.setattr(runs.objects, "read", fail)
    with pytest.raises(StoreUnavailableError):
        runs.sweep_ids()
    monkeypatch.setattr(runs, "sweep_ids", lambda: ["cnn-1"])
    found: list[StorageError] = []
    with pytest.raises(StoreUnavailableError):
        runs.summaries(found.append)
    assert found == []


def test_a_sweep_that_ends_between_two_reads_is_not_told_as_interrupted(
    runs: RunStore, sweep_record: SweepRecord, sweep_result: SweepResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.create_sweep(sweep_record)
    assert runs.summary("cnn-1").state == "interrupted"
    monkeypatch.setattr(runs, "_heartbeat", lambda sweep_id: runs.write_result(sweep_result))
    assert runs.summary("cnn-1").state == "finished"


def test_a_driver_that_has_not_renewed_its_lease_is_told_as_silent(runs: RunStore, sweep_record: SweepRecord) -> None:
    runs.create_sweep(sweep_record)
    with Lease(runs.objects, "cnn-1", say=print, on_loss=print, period_s=0.1):
        living = runs.summary("cnn-1")
        assert (living.state, living.silent_since) == ("running", None)
        left = LeaseRecord.from_json(living.heartbeat or "")
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    for renewed_at, silent_since in (
        (two_hours_ago.isoformat(), two_hours_ago.isoformat()),
        (two_hours_ago.replace(tzinfo=None).isoformat(), None),
        ("yesterday", None),
        (None, None),
    ):
        runs.objects.write(layout.lease("cnn-1"), replace(left, renewed_at=renewed_at).to_json().encode())
        gone = runs.summary("cnn-1")
        assert (gone.state, gone.silent_since) == ("running", silent_since)
    assert replace(gone, heartbeat="damaged").silent_since is None
