"""A driver that is told to stop, or loses its sweep to another one."""

import signal
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from cifar_ray.errors import InterruptedSweepError, StorageError, StoreUnavailableError, SweepHeldError
from cifar_ray.records import EpochMetrics, SweepRecord
from cifar_ray.storage import layout
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.lease import Lease
from cifar_ray.storage.patient_store import PatientStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning import signals
from cifar_ray.tuning.signals import only_driver


@pytest.mark.parametrize("is_in_ray_tune", [True, False])
def test_a_driver_that_has_lost_its_sweep_leaves_the_books_to_the_other(
    tmp_path: Path,
    sweep_record: SweepRecord,
    epoch_metrics: list[EpochMetrics],
    monkeypatch: pytest.MonkeyPatch,
    is_in_ray_tune: bool,
) -> None:
    """Suspended for a while, it writes what it knew when it ends, which is less than the other has found since."""
    monkeypatch.setitem(Lease.__init__.__kwdefaults__, "period_s", 0.05)
    store = FolderStore(tmp_path)
    patient = PatientStore(store)
    runs = RunStore(patient)
    runs.create_sweep(sweep_record)
    runs.write_metrics("cnn-1", epoch_metrics)

    def drive() -> None:
        with only_driver(store, "cnn-1", patient):
            store.delete(layout.lease("cnn-1"))
            try:
                time.sleep(20)
            except KeyboardInterrupt:
                runs.write_metrics("cnn-1", epoch_metrics[:1])
                patient.delete(layout.sweep_record("cnn-1"))
                if is_in_ray_tune:
                    raise InterruptedSweepError("stopped") from None
                raise

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SweepHeldError):
            drive()
    finally:
        signal.signal(signal.SIGINT, before)
    assert runs.metrics("cnn-1") == epoch_metrics
    assert runs.sweep("cnn-1").interruptions == ()


@pytest.mark.parametrize("signalled", [KeyboardInterrupt(), SystemExit(15)])
@pytest.mark.parametrize("has_begun", [True, False])
def test_a_driver_that_is_stopped_before_or_after_its_training_says_so(
    tmp_path: Path, sweep_record: SweepRecord, signalled: BaseException, has_begun: bool
) -> None:
    """SIGTERM has a handler of Ray's, which exits."""
    store = FolderStore(tmp_path)
    runs = RunStore(store)
    if has_begun:
        runs.create_sweep(sweep_record)
    with (
        pytest.raises(InterruptedSweepError, match="sweep cnn-1 was interrupted") as caught,
        only_driver(store, "cnn-1", PatientStore(store)),
    ):
        raise signalled
    assert ("--resume" in caught.value.hint) == has_begun
    if has_begun:
        assert [each.why for each in runs.sweep("cnn-1").interruptions] == ["sweep cnn-1 was interrupted"]
    assert layout.lease("cnn-1") not in store.keys("")


def test_a_sweep_that_ends_as_it_is_lost_is_not_this_drivers(
    tmp_path: Path, sweep_record: SweepRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray Tune may swallow the interrupt as it cleans up, and the result was not written: the store was retired."""
    lease = SimpleNamespace(is_lost=True)
    monkeypatch.setattr(signals, "Lease", lambda *arguments, **options: nullcontext(lease))
    store = FolderStore(tmp_path)
    with pytest.raises(SweepHeldError, match="took it over"), only_driver(store, "cnn-1", PatientStore(store)):
        pass


def test_a_driver_that_is_stopped_does_not_wait_for_a_store_that_is_away(
    tmp_path: Path, sweep_record: SweepRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which keeps its end from being noted, but not from being an interruption."""
    store = FolderStore(tmp_path)
    RunStore(store).create_sweep(sweep_record)

    read = FolderStore.read

    def read_lease(store: FolderStore, key: str) -> bytes:
        if key == layout.sweep_record("cnn-1"):
            raise StoreUnavailableError("it is away")
        return read(store, key)

    monkeypatch.setattr(FolderStore, "read", read_lease)
    with pytest.raises(InterruptedSweepError), only_driver(store, "cnn-1", PatientStore(store)):
        raise KeyboardInterrupt


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StorageError("it stays away"), RuntimeError()])
def test_no_thread_of_a_driver_that_ends_waits_for_a_store_that_is_away(tmp_path: Path, error: BaseException) -> None:
    class Away(FolderStore):
        def read(self, key: str) -> bytes:
            raise StoreUnavailableError("it is away")

    patient = PatientStore(Away(tmp_path), patience_s=1)
    with pytest.raises((InterruptedSweepError, type(error))), only_driver(FolderStore(tmp_path), "cnn-1", patient):
        raise error
    with pytest.raises(StoreUnavailableError, match="tried for 0 s"):
        patient.read("x")
