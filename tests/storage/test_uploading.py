import re
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext

import pytest
from fakes import DEADLINE_S, Gate, MemoryStore, Snapshot, StepExecutor, checkpoint
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.errors import StorageError
from cifar_ray.storage import uploading
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.storage.spilling import Spill
from cifar_ray.storage.uploading import CheckpointUploader, best_epoch, epochs_to_keep

FILES = ("model.safetensors", "trainer.pt", "manifest.json")


class Trial:
    """A trial's uploader over a store in memory that has the `saved` checkpoints."""

    def __init__(self, executor: Executor, saved: Mapping[int, float] | None = None) -> None:
        self.store = MemoryStore()
        self.checkpoints = CheckpointStore(self.store, "cnn-1", "t0000")
        for epoch, accuracy in (saved or {}).items():
            self.checkpoints.save(checkpoint(epoch, accuracy))
        self.store.calls.clear()
        self.uploader = CheckpointUploader(self.checkpoints, executor, saved or {})

    def submit(self, *accuracies: float, first: int = 1) -> None:
        for epoch, accuracy in enumerate(accuracies, first):
            self.uploader.submit(epoch, accuracy, Snapshot(epoch, accuracy))

    def refuse_once(self, failing: str) -> None:
        pending = [failing]

        def before(call: str) -> None:
            if call in pending:
                pending.clear()
                raise StorageError(f"{call}: AccessDenied", "give these credentials write on the prefix")

        self.store.before = before


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def steps() -> StepExecutor:
    return StepExecutor()


def test_the_keep_rule() -> None:
    assert epochs_to_keep({}) == set()
    assert epochs_to_keep({3: 0.1}) == {3}
    assert epochs_to_keep({1: 0.5, 2: 0.9, 3: 0.9, 4: 0.1, 5: 0.2}) == {2, 4, 5}


def test_a_folder_ends_with_the_best_and_the_newest(runs: RunStore, threads: Executor) -> None:
    checkpoints = CheckpointStore(runs.objects, "cnn-1", "t0000")
    uploader = CheckpointUploader(checkpoints, threads, {})
    for epoch, accuracy in enumerate((0.1, 0.4, 0.8, 0.3, 0.8, 0.2, 0.1), 1):
        uploader.submit(epoch, accuracy, Snapshot(epoch, accuracy))
    uploader.drain(DEADLINE_S)
    assert [checkpoints.load(epoch).validation_accuracy for epoch in (3, 6, 7)] == [0.8, 0.2, 0.1]
    assert len(runs.objects.keys("cnn-1")) == 9


def test_submit_does_not_wait_for_a_stuck_store(threads: Executor) -> None:
    trial = Trial(threads)
    trial.store.before = gate = Gate()
    trial.submit(0.1)
    assert gate.is_reached.wait(DEADLINE_S)
    begun = time.monotonic()
    trial.submit(*[0.2] * 50, first=2)
    assert time.monotonic() - begun < 1
    assert not trial.store.objects
    gate.is_open.set()
    trial.uploader.drain(DEADLINE_S)
    assert trial.checkpoints.epochs() == [2, 50, 51]


def test_the_best_goes_first_then_the_newest_and_the_rest_never(steps: StepExecutor) -> None:
    trial = Trial(steps)
    trial.submit(0.5, 0.9, 0.1, 0.2, 0.3, 0.4)
    steps.run()
    assert trial.store.calls == [f"write t0000 {epoch} {file}" for epoch in (2, 6, 5) for file in FILES]


@pytest.mark.parametrize(("is_refused", "written"), [(False, [1, 4, 3, 5]), (True, [2, 5, 4])])
def test_one_that_is_being_uploaded_replaces_the_next_best_once_it_is_whole(
    steps: StepExecutor, is_refused: bool, written: list[int]
) -> None:
    def before(call: str) -> None:
        if call == "write t0000 1 manifest.json":
            trial.submit(0.8, 0.1, 0.1, first=2)
            if is_refused:
                raise StorageError(call)

    trial = Trial(steps)
    trial.store.before = before
    trial.submit(0.9)
    steps.run()
    with pytest.raises(StorageError) if is_refused else nullcontext():
        trial.uploader.drain(0)
    trial.submit(0.1, first=5)
    steps.run()
    assert [int(call.split()[2]) for call in trial.store.calls if re.match("write .*manifest", call)] == written


def test_trials_take_turns(steps: StepExecutor) -> None:
    order: list[str] = []
    for name in ("a", "b"):
        trial = Trial(steps)
        trial.store.before = lambda call, name=name: order.append(name) if "manifest" in call else None
        trial.submit(0.3, 0.2, 0.1)
    steps.run()
    assert "".join(order) == "ababab"


def test_one_upload_of_a_trial_at_a_time(threads: Executor) -> None:
    in_store = threading.Lock()
    has_met: list[bool] = []

    def before(call: str) -> None:
        has_met.append(in_store.locked())
        with in_store:
            time.sleep(0.002)

    trial = Trial(threads)
    trial.store.before = before
    for epoch in range(1, 30):
        trial.submit(0.1 * (epoch % 7), first=epoch)
        time.sleep(0.002)
    trial.uploader.drain(DEADLINE_S)
    assert not any(has_met)


def test_what_is_replaced_goes_once_the_new_one_is_whole(steps: StepExecutor) -> None:
    trial = Trial(steps, {1: 0.1, 2: 0.2})
    trial.submit(0.3, first=3)
    steps.run()
    assert trial.store.calls == [
        *(f"write t0000 3 {file}" for file in FILES),
        *(f"delete t0000 1 {file}" for file in reversed(FILES)),
    ]


def test_no_reference_to_a_snapshot_stays(threads: Executor) -> None:
    trial = Trial(threads)
    trial.store.before = gate = Gate()
    references: list[weakref.ref[Snapshot]] = []
    for epoch, accuracy in ((1, 0.1), (2, 0.2), (3, 0.1), (4, 0.1), (5, 0.1)):
        snapshot = Snapshot(epoch, accuracy)
        references.append(weakref.ref(snapshot))
        trial.uploader.submit(epoch, accuracy, snapshot)
        assert gate.is_reached.wait(DEADLINE_S)
    del snapshot
    # 1 is packed, and its upload still runs; 3 is dropped
    assert [reference() is not None for reference in references] == [False, True, False, True, True]
    gate.is_open.set()
    trial.uploader.drain(DEADLINE_S)
    assert not any(reference() for reference in references)


def test_behind_a_stuck_upload_they_wait_on_the_disk(threads: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "SPILL_AFTER_S", 0.0)
    store, spill = MemoryStore(), Spill()
    store.before = gate = Gate()
    uploader = CheckpointUploader(CheckpointStore(store, "cnn-1", "t0000"), threads, {}, spill)
    references: list[weakref.ref[Snapshot]] = []
    for epoch, accuracy in ((1, 0.1), (2, 0.2), (3, 0.1), (4, 0.1), (5, 0.1)):
        snapshot = Snapshot(epoch, accuracy)
        references.append(weakref.ref(snapshot))
        uploader.submit(epoch, accuracy, snapshot)
        assert gate.is_reached.wait(DEADLINE_S)
    del snapshot
    deadline = time.monotonic() + DEADLINE_S
    # 2, 4 and 5
    while any(reference() for reference in references) or spill.num_bytes != 3 * len("weights 1" + "state 1"):
        assert time.monotonic() < deadline, "in memory"
        time.sleep(0.01)
    gate.is_open.set()
    uploader.drain(DEADLINE_S)
    checkpoints = CheckpointStore(store, "cnn-1", "t0000")
    assert [checkpoints.load(epoch) for epoch in checkpoints.epochs()] == [
        checkpoint(2, 0.2),
        *(checkpoint(epoch, 0.1) for epoch in (4, 5)),
    ]
    assert spill.num_bytes == 0


def test_so_do_those_of_trials_whose_turn_does_not_come(steps: StepExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "SPILL_AFTER_S", 0.0)
    spill = Spill()
    # of which no step is run: other trials hold its threads
    uploader = CheckpointUploader(CheckpointStore(MemoryStore(), "cnn-1", "t0000"), steps, {}, spill)
    for epoch in (1, 2, 3, 4):
        uploader.submit(epoch, 0.1, Snapshot(epoch, 0.1))
    deadline = time.monotonic() + DEADLINE_S
    while spill.num_bytes != 3 * len("weights 1" + "state 1"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    steps.run()
    uploader.drain(0)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("is_next_a_submit", [True, False])
def test_a_failed_upload_is_raised_once_with_its_hint(steps: StepExecutor, file: str, is_next_a_submit: bool) -> None:
    trial = Trial(steps)
    trial.refuse_once(f"write t0000 1 {file}")
    trial.submit(0.9)
    steps.run()
    with pytest.raises(StorageError, match="AccessDenied") as caught:
        trial.submit(0.1, first=2) if is_next_a_submit else trial.uploader.drain(0)
    assert caught.value.hint == "give these credentials write on the prefix"
    trial.submit(0.3, 0.2, 0.1, 0.1, first=3)
    steps.run()
    trial.uploader.drain(0)
    assert trial.store.epochs() == {3, 5, 6}, "what failed neither counts nor leaves anything"


def test_a_snapshot_that_cannot_be_packed_is_told_of(threads: Executor) -> None:
    trial = Trial(threads)
    trial.uploader.submit(1, 0.1, lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    with pytest.raises(ZeroDivisionError):
        trial.uploader.drain(DEADLINE_S)
    trial.uploader.drain(DEADLINE_S)
    trial.submit(0.05, 0.04, 0.03, 0.02, first=2)
    trial.uploader.drain(DEADLINE_S)
    assert trial.store.epochs() == {2, 4, 5}


def test_a_failed_removal_is_told_of_and_made_good(steps: StepExecutor) -> None:
    trial = Trial(steps, {1: 0.1, 2: 0.2})
    trial.refuse_once("delete t0000 1 model.safetensors")
    trial.submit(0.3, first=3)
    steps.run()
    with pytest.raises(StorageError, match="AccessDenied"):
        trial.uploader.drain(0)
    with pytest.raises(StorageError, match="after 0 s; epochs still to upload: none"):
        trial.uploader.drain(0)
    steps.run()
    trial.uploader.drain(0)
    assert trial.store.epochs() == {2, 3}


def test_drain_waits_no_longer_than_it_may(threads: Executor) -> None:
    trial = Trial(threads)
    trial.store.before = gate = Gate()
    trial.submit(0.3, 0.2, 0.1)
    begun = time.monotonic()
    with pytest.raises(StorageError, match=r"after 0.2 s; epochs still to upload: 1, 2, 3") as caught:
        trial.uploader.drain(0.2)
    assert 0.2 <= time.monotonic() - begun < 5
    assert "resume" in str(caught.value.hint)
    gate.is_open.set()
    trial.uploader.drain(DEADLINE_S)
    assert trial.checkpoints.epochs() == [1, 2, 3]


def test_a_resumed_trial_knows_what_the_store_has(threads: Executor) -> None:
    trial = Trial(threads, {2: 0.9, 5: 0.3, 6: 0.4})
    trial.submit(0.9, 0.1, first=7)
    trial.uploader.drain(DEADLINE_S)
    assert trial.store.epochs() == {2, 7, 8}


def test_a_resumed_trial_removes_what_a_killed_one_left(threads: Executor) -> None:
    trial = Trial(threads, {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4})
    trial.uploader.drain(DEADLINE_S)
    assert trial.store.epochs() == {3, 4}


def test_a_damaged_checkpoint_counts_for_nothing_until_it_is_taken_anew(steps: StepExecutor) -> None:
    trial = Trial(steps, {1: 0.9, 2: 0.2, 3: 0.3})
    trial.submit(0.3, 0.4, first=3)
    steps.run()
    assert trial.store.epochs() == {1, 3, 4}
    calls = trial.store.calls
    assert calls.index("write t0000 3 manifest.json") < calls.index("delete t0000 2 manifest.json")


class WatchedTrial(Trial):
    """Submits epochs amid the store's calls, and looks before each whether a kill then would lose something."""

    def __init__(self, accuracies: list[float], submits: list[int]) -> None:
        self.steps = StepExecutor()
        super().__init__(self.steps)
        self.store.before = lambda call: self.look()
        self.accuracies = dict(enumerate(accuracies, 1))
        self.waiting: weakref.WeakSet[Snapshot] = weakref.WeakSet()
        self._num_submitted = 0
        self._submits = iter(submits)
        self._ever_whole: dict[int, float] = {}

    def run(self) -> None:
        while self._num_submitted < len(self.accuracies):
            self._submit_next()
            if next(self._submits, 0):
                self.steps.run()
        self.steps.run()
        self.look()
        self.uploader.drain(0)

    def look(self) -> None:
        if whole := set(self.checkpoints.epochs()):
            self._ever_whole |= {epoch: self.accuracies[epoch] for epoch in whole}
            assert {max(self._ever_whole), best_epoch(self._ever_whole)} <= whole
            not_repeated = {epoch: self.accuracies[epoch] for epoch in range(1, max(whole) + 1)}
            assert best_epoch(not_repeated) in whole, "a resumed trial would never see its best epoch again"
        for _ in range(next(self._submits, 0)):
            self._submit_next()
        assert len(self.waiting) <= 3

    def _submit_next(self) -> None:
        if self._num_submitted < len(self.accuracies):
            self._num_submitted += 1
            accuracy = self.accuracies[self._num_submitted]
            snapshot = Snapshot(self._num_submitted, accuracy)
            self.waiting.add(snapshot)
            self.uploader.submit(self._num_submitted, accuracy, snapshot)


@given(
    accuracies=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), min_size=1, max_size=25),
    submits=st.lists(st.integers(0, 4), max_size=80),
)
def test_whatever_comes_the_store_ends_with_what_is_to_be_kept(accuracies: list[float], submits: list[int]) -> None:
    trial = WatchedTrial(accuracies, submits)
    trial.run()
    assert set(trial.checkpoints.epochs()) == trial.store.epochs() == epochs_to_keep(trial.accuracies)
    assert not trial.waiting
