"""Training together equals training alone, for everything that members may differ in."""

import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trials
from torch import nn
from torch.nn import functional

from cifar_ray.data.split import TrainingData
from cifar_ray.errors import DeviceError
from cifar_ray.models import build_model
from cifar_ray.models.classic import PooledConvolution
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig
from cifar_ray.training import cohort as cohort_module
from cifar_ray.training import trial as trial_module
from cifar_ray.training.averaging import WeightAverage
from cifar_ray.training.cohort import Cohort, _is_of_device
from cifar_ray.training.feeds import validation_feed
from cifar_ray.training.fused_group import FusedGroup
from cifar_ray.training.learner import Learner, Trial
from cifar_ray.training.state import unpack_weights

CONFIG = TrialConfig(
    model="classic_cnn",
    max_epochs=3,
    learning_rate=0.003,
    optimizer="sgd",
    weight_decay=0.001,
    dropout=0.1,
    batch_size=16,
)
DIFFERENCES: list[dict[str, object]] = [
    {"learning_rate": 0.01},
    {"momentum": 0.5},
    {"weight_decay": 0.01},
    {"dropout": 0.0},
    {"dropout": 0.5},
    {"optimizer": "adam"},
    {"optimizer": "adam", "weight_decay": 0.01, "learning_rate": 0.0002},
    {"xavier": True},
    {"seed": 7},
    {"schedule": "one_cycle"},
    {"schedule": "cosine", "optimizer": "adam"},
    {"nesterov": True},
    {"momentum": 0.0},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"bias_rate": 4.0, "decays_all": False},
    {"averaging": "ema"},
    {"averaging": "lookahead", "optimizer": "adam"},
]
CPU = torch.device("cpu")


def make_trial(runs: RunStore, trial_id: str, sweep_id: str = "cnn-1", **settings: object) -> Trial:
    config = replace(CONFIG, **settings)  # type: ignore[arg-type]  # the test's own settings
    return trials.make_trial(runs, config, trial_id, sweep_id)


def without_times(lines: list[EpochMetrics]) -> list[EpochMetrics]:
    return [replace(line, seconds=0.0, num_sharing=1) for line in lines]


@pytest.mark.parametrize(
    ("batch_norm", "steps_as_one"),
    [(False, (False, False)), (True, (True, False)), (None, (False, True))],
    ids=["many optimisers", "one optimiser, then many", "many optimisers, then one; every other with batch norm"],
)
def test_ten_steps_together_are_ten_steps_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_norm: bool | None, steps_as_one: tuple[bool, bool]
) -> None:
    """In float64, where what is left is the mathematics: Adam turns the rounding of float32 into steps of its own.

    Alone, with torch's layers one by one.
    """
    settings = [
        {**each, "batch_norm": bool(index % 2) if batch_norm is None else batch_norm}
        for index, each in enumerate(({}, *DIFFERENCES))
    ]
    generator = torch.Generator().manual_seed(0)
    batches = [
        (
            torch.randn(16, 3, 32, 32, generator=generator, dtype=torch.float64),
            torch.randint(10, (16,), generator=generator),
        )
        for _ in range(10)
    ]
    with ThreadPoolExecutor(1) as executor:
        one, other = (
            [make_learner(tmp_path / side, index, each, executor) for index, each in enumerate(settings)]
            for side in ("alone", "together")
        )
    halves = (batches[:5], batches[5:])
    with monkeypatch.context() as plain:
        plain.setattr(PooledConvolution, "forward", nn.Sequential.forward)
        for learner in one:
            counts = itertools.count(1)
            for half in halves:
                torch.manual_seed(learner.dropout_seed)
                for images, labels in half:
                    step_alone(learner, images, labels, next(counts))
    torch.set_default_dtype(torch.float64)
    try:
        for half, is_one in zip(halves, steps_as_one, strict=True):
            # the second goes on from the state that the first has left
            group = FusedGroup(other, CPU, "32-true", steps_as_one=is_one)
            for images, labels in half:
                group.train(images, labels)
            group.end_pass()
            # of the learner, whose epochs are counted by its history
            monkeypatch.setattr(Learner, "num_steps", 5)
    finally:
        torch.set_default_dtype(torch.float32)
    for alone, together in zip(one, other, strict=True):
        expected, found = alone.network.state_dict(), together.network.state_dict()
        for name, weights in expected.items():
            assert torch.allclose(found[name], weights, rtol=0, atol=1e-6), (alone.trial.config, name)
        if alone.average is not None and together.average is not None:
            for name, weights in alone.average.average.items():
                assert torch.allclose(together.average.average[name], weights, rtol=0, atol=1e-6), name
        assert together.optimizer.param_groups[0]["lr"] == alone.optimizer.param_groups[0]["lr"]


def make_learner(folder: Path, index: int, settings: dict[str, object], executor: ThreadPoolExecutor) -> Learner:
    trial = make_trial(RunStore(FolderStore(folder)), f"t{index:04d}", **settings)
    learner = Learner(trial, device=CPU, steps_per_epoch=10, executor=executor)
    learner.network.double()
    if learner.average is not None:
        learner.average = WeightAverage(trial.config, learner.network, num_steps=10)
    return learner


def step_alone(learner: Learner, images: torch.Tensor, labels: torch.Tensor, count: int) -> None:
    learner.optimizer.zero_grad()
    functional.cross_entropy(learner.network(images), labels).backward()  # type: ignore[no-untyped-call]
    learner.optimizer.step()
    if learner.average is not None:
        learner.average.update(count)
    if learner.scheduler is not None:
        learner.scheduler.step()


@pytest.mark.parametrize("num_threads", [1, 2])
def test_epochs_together_are_epochs_alone(
    runs: RunStore, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch, num_threads: int
) -> None:
    """Batches, augmentation, dropout and validation too; in float32, so nearly. One thread has all in one network."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    cohort = Cohort(training_data, data_seed=5, num_threads=num_threads)
    combinations = list(itertools.product([False, True], repeat=2))
    alone: dict[str, list[EpochMetrics]] = {}
    rates: dict[str, float] = {}
    averages = ("none", "ema", "lookahead", "ema")
    for index, (augmentation, batch_norm) in enumerate(combinations):
        trial_id = f"t{index:04d}"
        settings = {
            "augmentation": augmentation,
            "batch_norm": batch_norm,
            "dropout": 0.3,
            "averaging": averages[index],
            "learning_rate": 0.003 + 0.001 * index,
        }
        rates[trial_id] = 0.003 + 0.001 * index
        cohort.add(make_trial(runs, trial_id, **settings))
        alone[trial_id] = trials.train(make_trial(runs, trial_id, "alone", **settings), training_data, data_seed=5)
    for epoch in range(3):
        lines = cohort.train_epoch(alone)
        assert len(lines) == len(alone)
        for line in lines:
            expected = alone[line.trial_id][epoch]
            assert (line.epoch, line.num_sharing) == (expected.epoch, 4)
            assert line.train_loss == pytest.approx(expected.train_loss, rel=1e-4)
            assert line.validation_loss == pytest.approx(expected.validation_loss, rel=1e-3)
            # rounding may turn one image of 180, and one of 20
            assert line.train_accuracy == pytest.approx(expected.train_accuracy, abs=1.01 / 180)
            assert line.validation_accuracy == pytest.approx(expected.validation_accuracy, abs=1.01 / 20)
            assert line.learning_rate == pytest.approx(expected.learning_rate) == rates[line.trial_id]
    assert any(line.train_accuracy != line.validation_accuracy for line in itertools.chain(*alone.values()))


def test_what_a_cohort_says_of_a_member_its_checkpoint_scores(
    runs: RunStore, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the images that validate, which a training of one epoch tells from those that train."""
    # one of twenty images could change sides in bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    cohort = Cohort(training_data, data_seed=5)
    members = [
        make_trial(runs, f"t{index:04d}", max_epochs=1, learning_rate=rate) for index, rate in enumerate((0.003, 0.03))
    ]
    for trial in members:
        cohort.add(trial)
    lines = cohort.train_epoch([trial.trial_id for trial in members])
    assert [line.learning_rate for line in lines] == [0.003, 0.03]
    for trial, line in zip(members, lines, strict=True):
        cohort.remove(trial.trial_id)
        checkpoint = trial.checkpoints.load_newest(pytest.fail)
        assert checkpoint is not None
        network = build_model(trial.config).eval()
        network.load_state_dict(unpack_weights(checkpoint.weights))
        ((images, labels),) = itertools.chain.from_iterable(validation_feed(training_data, CPU))
        with torch.inference_mode():
            logits = network(images)
        assert functional.cross_entropy(logits, labels).item() == pytest.approx(line.validation_loss, abs=0.01)
        accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
        assert accuracy == pytest.approx(line.validation_accuracy, abs=1e-6) != pytest.approx(line.train_accuracy)
        assert checkpoint.validation_accuracy == line.validation_accuracy


@pytest.mark.parametrize(
    ("first", "averaging"), [("alone", "none"), ("together", "none"), ("alone", "ema"), ("together", "lookahead")]
)
def test_checkpoints_are_interchangeable(
    runs: RunStore, training_data: TrainingData, first: str, averaging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that changes between the two modes ends where one ends that does not.

    In float32: kernels for bfloat16 may round differently in the two, those of AMX by 1.4e-3 of the loss in the end.
    """
    for module in (cohort_module, trial_module):
        monkeypatch.setattr(module, "choose_precision", lambda device: "32-true")
    settings = {
        "batch_norm": True,
        "augmentation": True,
        "optimizer": "adam",
        "learning_rate": 0.0003,
        "averaging": averaging,
    }
    trial, neighbour, other = (make_trial(runs, trial_id, **settings) for trial_id in ("t0001", "t0002", "t0000"))
    undisturbed = trials.train(other, training_data)
    cohort = Cohort(training_data, data_seed=0)
    if first == "alone":
        trials.train(trial, training_data, until=2)
        lines = [*cohort.add(trial).history, *cohort.train_epoch(["t0001"])]
    else:
        cohort.add(trial)
        cohort.add(neighbour)
        for _ in range(2):
            cohort.train_epoch(["t0001", "t0002"])
        cohort.remove("t0001")
        lines = trials.train(trial, training_data)
    assert [line.epoch for line in lines] == [1, 2, 3]
    for line, expected in zip(lines, undisturbed, strict=True):
        assert line.train_loss == pytest.approx(expected.train_loss, rel=1e-4)
        assert line.validation_loss == pytest.approx(expected.validation_loss, rel=1e-4)


@pytest.mark.fault("a trial's loss is not finite")
def test_a_member_that_diverges_touches_no_other(runs: RunStore, training_data: TrainingData) -> None:
    """To the last bit, with and without the diverging one's weights of NaN beside it."""
    wild = make_trial(runs, "t0001", learning_rate=1e12)
    tame = make_trial(runs, "t0001", "tame")
    lines = {}
    for name, neighbour in (("wild", wild), ("tame", tame)):
        cohort = Cohort(training_data, data_seed=0)
        cohort.add(make_trial(runs, "t0000", name))
        cohort.add(neighbour)
        lines[name] = [cohort.train_epoch(["t0000", "t0001"])]
        if name == "wild":
            (_, diverged) = lines[name][0]
            assert not diverged.is_finite
            assert diverged.trial_id == "t0001"
        # it may even stay for a pass more
        learner = cohort.add(make_trial(runs, "t0002", name))
        assert not learner.history
        lines[name].append(cohort.train_epoch(["t0000", "t0002"]))
    assert without_times([each[0] for each in lines["wild"]]) == without_times([each[0] for each in lines["tame"]])
    assert wild.checkpoints.epochs() == []


def test_members_come_and_go_at_epochs_of_their_own(runs: RunStore, training_data: TrainingData) -> None:
    cohort = Cohort(training_data, data_seed=0, num_threads=2)
    one, two = make_trial(runs, "t0000"), make_trial(runs, "t0001", batch_norm=True)
    cohort.add(one)
    assert [line.epoch for line in cohort.train_epoch(["t0000"])] == [1]
    late = cohort.add(two)
    assert [line.epoch for line in cohort.train_epoch(["t0000", "t0001"])] == [2, 1]
    cohort.remove("t0000")
    assert one.checkpoints.epochs() == [1, 2]
    assert [line.epoch for line in cohort.train_epoch(["t0001"])] == [2]
    # the order of the batches goes on with the cohort, not with the trial
    assert late.data_pass == 3


def test_images_are_kept_only_for_batch_sizes_that_train(runs: RunStore, training_data: TrainingData) -> None:
    """On an accelerator those of each size are a copy."""
    cohort = Cohort(training_data, data_seed=0)
    cohort.add(make_trial(runs, "t0000"))
    cohort.add(make_trial(runs, "t0001", batch_size=32))
    cohort.train_epoch(["t0000", "t0001"])
    assert {size for size, _ in cohort._feeds} == {16, 32}
    cohort.remove("t0000")
    cohort.train_epoch(["t0001"])
    assert {size for size, _ in cohort._feeds} == {32}


def test_a_cohort_goes_on_from_checkpoints(runs: RunStore, training_data: TrainingData) -> None:
    undisturbed = Cohort(training_data, data_seed=0)
    broken_off = Cohort(training_data, data_seed=0)
    names = ("t0000", "t0001")
    for trial_id in names:
        undisturbed.add(make_trial(runs, trial_id, "whole"))
        broken_off.add(make_trial(runs, trial_id))
    expected = [undisturbed.train_epoch(names) for _ in range(3)]
    for _ in range(2):
        broken_off.train_epoch(names)
    for trial_id in names:
        broken_off.remove(trial_id)
    resumed = Cohort(training_data, data_seed=0)
    for trial_id in names:
        learner = resumed.add(make_trial(runs, trial_id))
        assert [line.epoch for line in learner.history] == [1, 2]
    assert without_times(resumed.train_epoch(names)) == without_times(expected[2])


def test_a_pass_that_fails_leaves_no_thread_at_work(
    runs: RunStore, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = Cohort(training_data, data_seed=0, num_threads=2)
    cohort.add(make_trial(runs, "t0000", batch_size=16))
    cohort.add(make_trial(runs, "t0001", batch_size=32))
    train, at_work = cohort._train, threading.Event()

    def train_one(learners: Sequence[Learner]) -> FusedGroup:
        if learners[0].trial.trial_id == "t0000":
            at_work.wait()
            raise MemoryError("no room")
        at_work.set()
        time.sleep(0.3)
        group = train(learners)
        at_work.clear()
        return group

    monkeypatch.setattr(cohort, "_train", train_one)
    with pytest.raises(MemoryError, match="no room"):
        cohort.train_epoch(["t0000", "t0001"])
    assert not at_work.is_set()


@pytest.mark.parametrize("first", ["t0000", "t0001"])
def test_a_failed_device_is_not_hidden_by_full_memory(
    runs: RunStore, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """After full memory the process goes on, after the other it must not."""
    cohort = Cohort(training_data, data_seed=0, num_threads=2)
    cohort.add(make_trial(runs, "t0000", batch_size=16))
    cohort.add(make_trial(runs, "t0001", batch_size=32))

    def fail(learners: Sequence[Learner]) -> FusedGroup:
        if learners[0].trial.trial_id == first:
            raise torch.OutOfMemoryError("full")
        raise DeviceError("a step was not recorded")

    monkeypatch.setattr(cohort, "_train", fail)
    with pytest.raises(DeviceError, match="not recorded"):
        cohort.train_epoch(["t0000", "t0001"])


@pytest.mark.parametrize(
    ("error", "is_its_own"),
    [
        (torch.AcceleratorError("an illegal memory access"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_a_device_that_has_failed_is_told_from_other_faults(error: RuntimeError, is_its_own: bool) -> None:
    assert _is_of_device(error) == is_its_own
