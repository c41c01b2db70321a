"""The engine, with threads in the place of Ray Tune's trials."""

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import ray
import torch

from cifar_ray.data.split import TrainingData
from cifar_ray.errors import DeviceError, NotAMemberError, StorageError
from cifar_ray.models.pooled_norm import Norm, norm_pool_relu
from cifar_ray.records import EpochMetrics
from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study
from cifar_ray.training import cohort as cohort_module
from cifar_ray.training.fused_group import FusedGroup
from cifar_ray.tuning import engine as engine_module
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.engine import CohortEngine, EnginePlan
from cifar_ray.tuning.standing import Standing

SETTINGS = get_study("cnn").with_budget(num_trials=4, max_epochs=3).sample(0)
DEADLINE_S = 60
MakeEngine = Callable[..., CohortEngine]


@pytest.fixture(scope="module", autouse=True)
def compiled_loops() -> None:
    """Compiles the CPU's loops before anything is timed: that takes longer than some have patience here."""
    weight, variance, bias, mean = torch.ones(3), torch.ones(3), torch.zeros(3), torch.zeros(3)
    norm = Norm(weight=weight, bias=bias, running_mean=mean, running_var=variance, channels=np.arange(3))
    for dtype in (torch.float32, torch.bfloat16):
        images = torch.randn(2, 3, 4, 4, dtype=dtype, requires_grad=True)
        norm_pool_relu(images, norm, is_training=True).sum().backward()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.fixture
def make_engine(runs: RunStore, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> MakeEngine:
    def make(num_slots: int, *, num_trials: int | None = None, patience_s: float = 30.0) -> CohortEngine:
        monkeypatch.setattr(engine_module, "START_PATIENCE_S", patience_s)
        monkeypatch.setattr(engine_module, "PATIENCE_S", patience_s)
        plan = EnginePlan(
            sweep_id="cnn-1",
            storage=runs.objects.uri,
            data_seed=0,
            num_threads=1,
            num_slots=num_slots,
            num_trials=num_trials or num_slots,
        )
        return CohortEngine(training_data, plan)

    return make


@pytest.fixture
def paused_upload(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The store has `begun` to write a checkpoint's manifest, and waits until it `may_end`."""
    write, begun, may_end = FolderStore.write, threading.Event(), threading.Event()

    def write_late(store: FolderStore, key: str, content: bytes) -> None:
        if key.endswith(layout.MANIFEST):
            begun.set()
            assert may_end.wait(DEADLINE_S)
        write(store, key, content)

    monkeypatch.setattr(FolderStore, "write", write_late)
    return SimpleNamespace(begun=begun, may_end=may_end)


def trial_id(index: int) -> str:
    return f"t{index:04d}"


def join(engine: CohortEngine, index: int) -> list[EpochMetrics]:
    return engine.join(assign(trial_id(index), SETTINGS[index].to_dict()))


def run_trial(engine: CohortEngine, index: int, stop_after: int = 3) -> list[EpochMetrics]:
    """What a trial does, until Ray Tune stops it."""
    lines = join(engine, index)
    while len(lines) < stop_after and (epoch := engine.next_epoch(trial_id(index))):
        lines.append(epoch[0])
    engine.leave(trial_id(index))
    return lines


def results(futures: list[Future[list[EpochMetrics]]]) -> list[list[EpochMetrics]]:
    return [future.result(timeout=DEADLINE_S) for future in futures]


def test_trials_make_their_passes_together(make_engine: MakeEngine, callers: ThreadPoolExecutor) -> None:
    engine = make_engine(4)
    trials = results([callers.submit(run_trial, engine, index) for index in range(4)])
    assert [[line.epoch for line in lines] for lines in trials] == [[1, 2, 3]] * 4
    assert {line.num_sharing for lines in trials for line in lines} == {4}
    assert not engine._awaited


def test_a_trial_gets_the_standings_of_its_pass(make_engine: MakeEngine, callers: ThreadPoolExecutor) -> None:
    engine = make_engine(2)
    for index in range(2):
        join(engine, index)
    epochs = [call.result(DEADLINE_S) for call in [callers.submit(engine.next_epoch, trial_id(i)) for i in range(2)]]
    lines, standings = zip(*filter(None, epochs), strict=True)
    assert standings == ([Standing.of(line) for line in lines],) * 2


def test_a_later_generation_is_waited_for_like_the_first(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(2, num_trials=4)
    monkeypatch.setattr(engine_module, "PATIENCE_S", 0.1)
    results([callers.submit(run_trial, engine, index) for index in range(2)])
    early = callers.submit(run_trial, engine, 2)
    time.sleep(1.0)
    late = callers.submit(run_trial, engine, 3)
    assert {line.num_sharing for lines in results([early, late]) for line in lines} == {2}


def test_the_sweeps_last_trials_wait_for_no_further_ones(make_engine: MakeEngine, callers: ThreadPoolExecutor) -> None:
    """With several cohorts, others may have got those that this one expected."""
    engine = make_engine(4, patience_s=2 * DEADLINE_S)
    waiting = [callers.submit(run_trial, engine, index) for index in range(2)]
    engine.expect(2)
    trials = results(waiting)
    assert [len(lines) for lines in trials] == [3, 3]
    assert {line.num_sharing for lines in trials for line in lines} == {2}


def test_an_engine_that_comes_late_waits_for_those_that_others_hand_over(
    make_engine: MakeEngine, callers: ThreadPoolExecutor
) -> None:
    """They come one after the other, each when its uploads have ended."""
    engine = make_engine(4, patience_s=2 * DEADLINE_S)
    engine.expect(2)
    waiting = []
    for index in range(2):
        join(engine, index)
        waiting.append(callers.submit(engine.next_epoch, trial_id(index)))
        time.sleep(1.0)
    assert [call.result(DEADLINE_S)[0].num_sharing for call in waiting] == [2, 2]
    engine.leave("t0001")
    engine.expect(1)
    alone = callers.submit(engine.next_epoch, "t0000").result(DEADLINE_S)
    assert alone[0].num_sharing == 1, "and then for no others"


def test_a_stopped_trial_makes_room_for_the_next(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, runs: RunStore
) -> None:
    engine = make_engine(2, num_trials=3)

    def two_after_another() -> list[EpochMetrics]:
        return run_trial(engine, 1, stop_after=1) + run_trial(engine, 2)

    one, others = results([callers.submit(run_trial, engine, 0), callers.submit(two_after_another)])
    assert [(line.trial_id, line.epoch) for line in others] == [("t0001", 1), ("t0002", 1), ("t0002", 2), ("t0002", 3)]
    # the third joined the first's second pass, and made its last pass alone
    assert [line.num_sharing for line in one] == [2, 2, 2]
    assert others[-1].num_sharing == 1
    assert CheckpointStore(runs.objects, "cnn-1", "t0001").epochs() == [1]


def test_a_dead_trial_is_not_waited_for_long(make_engine: MakeEngine, callers: ThreadPoolExecutor) -> None:
    engine = make_engine(2, patience_s=1.0)
    join(engine, 1)  # and is never heard of again
    started = time.monotonic()
    lines = run_trial(engine, 0)
    assert [line.epoch for line in lines] == [1, 2, 3]
    assert time.monotonic() - started < 3 + 1.0 * 2
    # its next process takes its place, and goes on alone
    assert [line.epoch for line in run_trial(engine, 1)] == [1, 2, 3]


def test_trials_that_never_come_are_waited_for_once(make_engine: MakeEngine) -> None:
    engine = make_engine(2, patience_s=2.0)
    started = time.monotonic()
    assert [line.epoch for line in run_trial(engine, 0)] == [1, 2, 3]
    assert time.monotonic() - started < 2 * 2.0


def test_a_failed_upload_is_raised_at_the_end(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(1)

    def refuse(trial_id: str) -> None:
        raise StorageError(f"no room for {trial_id}")

    monkeypatch.setattr(engine._cohort, "remove", refuse)
    run_trial(engine, 0, stop_after=1)
    with pytest.raises(StorageError, match="no room for t0000"):
        engine.drain()


def test_a_trial_that_leaves_during_a_pass_costs_the_others_nothing(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its connection breaks for a moment; it comes back, and goes on from its checkpoints."""
    engine = make_engine(2, patience_s=2.0)
    train, has_left = engine._cohort._train, threading.Event()

    def train_without_one(learners: object) -> object:
        if not has_left.is_set():
            has_left.set()
            engine.leave("t0001")
        return train(learners)  # type: ignore[arg-type]  # whatever it was

    monkeypatch.setattr(engine._cohort, "_train", train_without_one)
    one, other = (callers.submit(run_trial, engine, index) for index in range(2))
    assert [line.epoch for line in one.result(timeout=DEADLINE_S)] == [1, 2, 3]
    with pytest.raises(NotAMemberError, match="t0001"):
        other.result(timeout=DEADLINE_S)
    assert [line.epoch for line in run_trial(engine, 1)] == [1, 2, 3]


def test_a_trial_that_leaves_before_a_pass_costs_the_others_nothing(
    make_engine: MakeEngine, callers: ThreadPoolExecutor
) -> None:
    engine = make_engine(2, patience_s=1.0)
    join(engine, 1)
    join(engine, 0)
    waiting = callers.submit(engine.next_epoch, "t0001")
    while not engine._ready:
        time.sleep(0.01)
    engine.leave("t0001")
    epoch = engine.next_epoch("t0000")
    assert epoch is not None
    assert epoch[0].num_sharing == 1
    with pytest.raises(NotAMemberError, match="t0001"):
        waiting.result(timeout=DEADLINE_S)
    assert [line.epoch for line in run_trial(engine, 1)] == [1, 2, 3], "it comes back"


def test_a_trial_that_leaves_as_a_pass_begins_costs_the_others_nothing(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(2)
    train = engine._cohort.train_epoch

    def train_without_one(trial_ids: set[str]) -> list[EpochMetrics]:
        engine.leave("t0001")
        return train(trial_ids)

    monkeypatch.setattr(engine._cohort, "train_epoch", train_without_one)
    for index in range(2):
        join(engine, index)
    one, other = (callers.submit(engine.next_epoch, trial_id(index)) for index in range(2))
    epoch = one.result(timeout=DEADLINE_S)
    assert epoch is not None
    assert epoch[0].num_sharing == 1
    with pytest.raises(NotAMemberError, match="t0001"):
        other.result(timeout=DEADLINE_S)


def test_trials_beyond_the_share_are_sent_on_between_passes(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, runs: RunStore
) -> None:
    """Each is told once its checkpoints are stored, so that another engine takes it up where it is."""
    crowded, idle = make_engine(4), make_engine(4)
    for index in (2, 0, 3, 1):
        join(crowded, index)
    idle.set_share(2)

    def go_on(index: int) -> tuple[list[int], list[int]]:
        """With how many it shared each epoch in the one engine, and in the other."""
        shared = []
        while len(shared) < 3:
            try:
                epoch = crowded.next_epoch(trial_id(index))
            except NotAMemberError:
                assert CheckpointStore(runs.objects, "cnn-1", trial_id(index)).epochs() == [1]
                return shared, [line.num_sharing for line in run_trial(idle, index)[1:]]
            assert epoch is not None
            shared.append(epoch[0].num_sharing)
            if len(shared) == 1:
                crowded.set_share(2)
        return shared, []

    started = time.monotonic()
    trials = [call.result(DEADLINE_S) for call in [callers.submit(go_on, index) for index in range(4)]]
    assert trials == [([4, 2, 2], []), ([4], [2, 2]), ([4, 2, 2], []), ([4], [2, 2])], "those that joined last go"
    assert time.monotonic() - started < 30.0, "neither waits for more than its share"


def test_a_share_that_is_not_repeated_lapses(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an engine whose share never came, and that trains the trials of another generation."""
    monkeypatch.setattr(engine_module, "SHARE_VALID_S", 0.0)
    engine = make_engine(2)
    engine.set_share(1)
    trials = results([callers.submit(run_trial, engine, index) for index in range(2)])
    assert {line.num_sharing for lines in trials for line in lines} == {2}


def two_after_a_pass(engine: CohortEngine, callers: ThreadPoolExecutor) -> list[Callable[[], Any]]:
    """What waits for the next epoch of each, once both have had their first."""
    for index in range(2):
        join(engine, index)
    asking = [partial(callers.submit, engine.next_epoch, trial_id(index)) for index in range(2)]
    for call in [ask() for ask in asking]:
        assert call.result(DEADLINE_S) is not None
    return asking


def test_a_trial_is_sent_on_after_its_uploads(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, runs: RunStore, paused_upload: SimpleNamespace
) -> None:
    """Another engine would resume from an older checkpoint, and remove the newer one as half written."""
    engine = make_engine(2)
    asking = two_after_a_pass(engine, callers)
    assert paused_upload.begun.wait(DEADLINE_S)
    engine.set_share(1)
    staying, going = [ask() for ask in asking]
    while len(engine._awaited) > 1:
        time.sleep(0.01)
    time.sleep(0.2)
    assert not going.done()
    paused_upload.may_end.set()
    with pytest.raises(NotAMemberError, match="t0001"):
        going.result(DEADLINE_S)
    assert CheckpointStore(runs.objects, "cnn-1", "t0001").load(1).epoch == 1
    assert staying.result(DEADLINE_S)[0].num_sharing == 1


def test_a_failed_upload_of_a_trial_that_is_sent_on_is_its_own(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(2)
    asking = two_after_a_pass(engine, callers)

    def refuse(trial_id: str) -> None:
        raise StorageError(f"no room for {trial_id}")

    monkeypatch.setattr(engine._cohort, "remove", refuse)
    engine.set_share(1)
    staying, going = [ask() for ask in asking]
    with pytest.raises(StorageError, match="no room for t0001"):
        going.result(DEADLINE_S)
    assert staying.result(DEADLINE_S)[0].num_sharing == 1
    monkeypatch.undo()
    engine.drain()


def test_a_trial_that_left_during_a_pass_goes_on_after_its_uploads(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, paused_upload: SimpleNamespace
) -> None:
    engine = make_engine(1)
    join(engine, 0)
    engine.next_epoch("t0000")
    assert paused_upload.begun.wait(DEADLINE_S)
    left = callers.submit(engine.leave, "t0000")
    while engine._awaited:
        time.sleep(0.01)
    asking = callers.submit(engine.next_epoch, "t0000")
    time.sleep(0.2)
    assert not asking.done()
    paused_upload.may_end.set()
    with pytest.raises(NotAMemberError, match="t0000"):
        asking.result(DEADLINE_S)
    left.result(DEADLINE_S)


def test_a_trial_that_follows_one_that_was_sent_on_is_waited_for(
    make_engine: MakeEngine, callers: ThreadPoolExecutor
) -> None:
    engine = make_engine(3)
    for index in range(3):
        join(engine, index)
    for call in [callers.submit(engine.next_epoch, trial_id(index)) for index in range(3)]:
        call.result(DEADLINE_S)
    engine.set_share(2)
    staying, leaving, going = [callers.submit(engine.next_epoch, trial_id(index)) for index in range(3)]
    with pytest.raises(NotAMemberError):
        going.result(DEADLINE_S)
    for call in (staying, leaving):
        call.result(DEADLINE_S)
    engine.leave("t0001")
    epoch = callers.submit(engine.next_epoch, "t0000")
    time.sleep(0.5)
    late = callers.submit(run_trial, engine, 3, stop_after=1)
    assert epoch.result(DEADLINE_S)[0].num_sharing == 2
    late.result(DEADLINE_S)


def test_whoever_has_a_trial_leave_waits_for_its_uploads(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be on its way out, as where whoever had it leave is gone."""
    engine = make_engine(1)
    join(engine, 0)
    uploaded = threading.Event()
    monkeypatch.setattr(engine._cohort, "remove", lambda trial_id: uploaded.wait(DEADLINE_S))
    going = [callers.submit(engine.leave, "t0000") for _ in range(2)]
    time.sleep(0.2)
    assert not any(each.done() for each in going)
    uploaded.set()
    for each in going:
        each.result(DEADLINE_S)


def test_a_trial_whose_process_died_does_not_count(make_engine: MakeEngine, callers: ThreadPoolExecutor) -> None:
    """Its next one, which has it leave, may be yet to come."""
    engine = make_engine(2, patience_s=0.5)
    for index in range(2):
        join(engine, index)
    assert engine.next_epoch("t0000") is not None
    assert len(engine._awaited) == 1


def test_an_engine_of_dead_trials_is_idle(make_engine: MakeEngine) -> None:
    engine = make_engine(2, patience_s=0.2)
    join(engine, 0)
    started = time.monotonic()
    while engine._awaited and time.monotonic() - started < DEADLINE_S:
        time.sleep(0.05)
    assert not engine._awaited
    # one that was only slow is trained all the same
    assert engine.next_epoch("t0000") is not None


def test_an_epoch_says_on_which_node_it_was_trained(make_engine: MakeEngine) -> None:
    """Or, where that is not known, read from a checkpoint: not the driver's, where its trial waits for it."""
    here = ray.util.get_node_ip_address()
    assert [line.node for line in run_trial(make_engine(1), 0)] == [here] * 3
    assert [line.node for line in join(make_engine(1), 0)] == [here] * 3


def test_draining_lets_all_trials_go(make_engine: MakeEngine, runs: RunStore) -> None:
    engine = make_engine(1)
    join(engine, 0)
    engine.next_epoch("t0000")
    engine.drain()
    assert not engine._awaited
    assert CheckpointStore(runs.objects, "cnn-1", "t0000").epochs() == [1]


def test_a_trial_resumes_from_its_checkpoints(make_engine: MakeEngine) -> None:
    run_trial(make_engine(1), 0, stop_after=2)
    engine = make_engine(1)
    history = join(engine, 0)
    assert [line.epoch for line in history] == [1, 2]
    epoch = engine.next_epoch("t0000")
    assert epoch is not None
    assert epoch[0].epoch == 3
    assert engine.next_epoch("t0000") is None


@pytest.mark.parametrize("says_goodbye", [False, True])
def test_a_trial_that_comes_back_waits_for_its_earlier_uploads(
    make_engine: MakeEngine,
    callers: ThreadPoolExecutor,
    runs: RunStore,
    paused_upload: SimpleNamespace,
    says_goodbye: bool,
) -> None:
    """What the engine still writes for it looks like the rest of a process that was killed."""
    engine = make_engine(1)
    join(engine, 0)
    engine.next_epoch("t0000")
    assert paused_upload.begun.wait(DEADLINE_S)
    if says_goodbye:
        callers.submit(engine.leave, "t0000")
        time.sleep(0.2)
    history = callers.submit(join, engine, 0)
    time.sleep(0.5)
    paused_upload.may_end.set()
    assert [line.epoch for line in history.result(timeout=DEADLINE_S)] == [1]
    assert CheckpointStore(runs.objects, "cnn-1", "t0000").load(1).epoch == 1


def test_draining_waits_for_earlier_uploads(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, runs: RunStore, paused_upload: SimpleNamespace
) -> None:
    """Of a store that was away, its later checkpoint is still to come when the sweep's last trial has ended."""
    engine = make_engine(1)
    join(engine, 0)
    for _ in range(2):
        engine.next_epoch("t0000")
    left = callers.submit(engine.leave, "t0000")
    time.sleep(0.2)
    drained = callers.submit(engine.drain)
    time.sleep(0.5)
    paused_upload.may_end.set()
    drained.result(timeout=DEADLINE_S)
    left.result(timeout=DEADLINE_S)
    assert CheckpointStore(runs.objects, "cnn-1", "t0000").load(2).epoch == 2


def test_an_engine_whose_device_failed_exits_after_telling_its_trials(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray starts another, which the trials that may try again join."""
    engine = make_engine(1)
    ended = threading.Event()

    def fail(_: object) -> list[EpochMetrics]:
        raise DeviceError("CUDA error")

    def end(code: int) -> None:
        ended.set()
        threading.Event().wait()

    monkeypatch.setattr(engine_module, "FAILURE_DELIVERY_S", 0.2)
    monkeypatch.setattr(engine_module, "os", SimpleNamespace(_exit=end, EX_SOFTWARE=os.EX_SOFTWARE))
    monkeypatch.setattr(engine._cohort, "train_epoch", fail)
    with pytest.raises(DeviceError, match="CUDA error"):
        callers.submit(run_trial, engine, 0).result(timeout=DEADLINE_S)
    assert ended.wait(DEADLINE_S)


def test_an_error_of_a_pass_reaches_each_of_its_trials(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(2)

    def fail(_: object) -> list[EpochMetrics]:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine._cohort, "train_epoch", fail)
    futures = [callers.submit(run_trial, engine, index) for index in range(2)]
    for future in futures:
        with pytest.raises(RuntimeError, match="out of memory"):
            future.result(timeout=DEADLINE_S)
    monkeypatch.undo()
    # the engine lives on
    engine._plan = replace(engine._plan, num_slots=1)
    for index in range(2):
        engine.leave(trial_id(index))
    assert [line.epoch for line in run_trial(engine, 0)] == [1, 2, 3]


def test_a_pass_that_ran_out_of_memory_keeps_none(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the passes of those that go on, whenever Python's own collector of cycles runs."""
    groups: list[weakref.ref[FusedGroup]] = []
    num_alive: list[int] = []
    num_released = 0

    class Watched(FusedGroup):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            num_alive.append(sum(each() is not None for each in groups))
            super().__init__(*arguments, **options)
            groups.append(weakref.ref(self))

        def train(self, images: torch.Tensor, labels: torch.Tensor) -> None:
            super().train(images, labels)
            if len(groups) == 1:
                raise torch.OutOfMemoryError("CUDA out of memory")

        def release(self) -> None:
            nonlocal num_released
            num_released += 1
            super().release()

    monkeypatch.setattr(cohort_module, "FusedGroup", Watched)
    engine = make_engine(1)
    gc.disable()
    try:
        failed = callers.submit(run_trial, engine, 0)
        with pytest.raises(torch.OutOfMemoryError) as caught:
            failed.result(timeout=DEADLINE_S)
        assert num_released == 1, "what was recorded, too"
        engine.leave("t0000")
        run_trial(engine, 0)
    finally:
        gc.enable()
    assert num_alive == [0, 0, 0, 0]
    # where it was raised is still told
    assert "train" in [entry.name for entry in caught.traceback]


def test_a_trial_whose_upload_failed_costs_the_others_nothing(
    make_engine: MakeEngine, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back, and goes on from what is in the store."""
    engine = make_engine(2, patience_s=2.0)
    write, has_failed = FolderStore.write, threading.Event()

    def refuse_once(store: FolderStore, key: str, content: bytes) -> None:
        if "t0001" in key and not has_failed.is_set():
            has_failed.set()
            raise StorageError(f"no room for {key}")
        write(store, key, content)

    monkeypatch.setattr(FolderStore, "write", refuse_once)
    one, other = (callers.submit(run_trial, engine, index) for index in range(2))
    with pytest.raises(StorageError, match="no room for cnn-1/trials/t0001"):
        other.result(timeout=DEADLINE_S)
    assert [line.epoch for line in one.result(timeout=DEADLINE_S)] == [1, 2, 3]
    assert [line.epoch for line in run_trial(engine, 1)] == [1, 2, 3]
