"""What tests of several packages share: small data sets, stores, one real cluster."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import settings

from cifar_ray.cifar10 import CLASSES
from cifar_ray.cluster import local
from cifar_ray.cluster.ports import release_ports
from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.split import TrainingData, split
from cifar_ray.records import DatasetRecord, EpochMetrics, SweepRecord, SweepResult, TrialRecord
from cifar_ray.storage import lease
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore

pytest_plugins = ("not_tested",)

# a machine that is busy with other things as well fails no example
settings.register_profile("house", deadline=None)
settings.load_profile("house")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is left out unasked must be slow, too: a person's `-m "not slow"` takes the place of pyproject.toml's -m."""
    left_out = re.findall(r"not (\w+)", " ".join(config.getini("addopts")))
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if marks & {*left_out} and not marks & {"cluster", "slow"}:
            raise pytest.UsageError(f"{item.nodeid} is marked as {marks & {*left_out}}: mark it as slow, too")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Results are promised for one thread, and small batches on two busy cores are slower with two."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the person's own settings, results or cluster."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "RAY_", "MLFLOW_", "WANDB_")) or (
            name.startswith("CIFAR_RAY_") and name != "CIFAR_RAY_TEST_DATA"
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CIFAR_RAY_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def ascii_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are read and written as ASCII unless told otherwise, as in the locale POSIX."""
    monkeypatch.setattr(io, "text_encoding", lambda encoding, stacklevel=2: encoding or "ascii")


@pytest.fixture(autouse=True)
def ports_released() -> Iterator[None]:
    """A test's servers listen by its end: the ports that were kept for them are not kept from other tests."""
    yield
    release_ports()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real CIFAR-10 that CIFAR_RAY_TEST_DATA names."""
    folder = os.environ.get("CIFAR_RAY_TEST_DATA")
    if not folder:
        pytest.skip("CIFAR_RAY_TEST_DATA names no copy of CIFAR-10")
    return Path(folder)


@pytest.fixture(scope="session")
def image_set() -> ImageSet:
    """200 random images, 20 a class; the class shows in the first channel, so that a model can learn it."""
    rng = np.random.default_rng(0)
    labels = np.arange(200, dtype=np.int64) % 10
    images = rng.integers(0, 255, (200, 3, 32, 32), dtype=np.uint8)
    images[:, 0] = (labels * 25)[:, None, None]
    return ImageSet(source="random", name="random", images=images, labels=labels, classes=CLASSES)


@pytest.fixture(scope="session")
def training_data(image_set: ImageSet) -> TrainingData:
    return split(image_set, seed=0)


@pytest.fixture
def runs(tmp_path: Path) -> RunStore:
    return RunStore(FolderStore(tmp_path / "store"))


@pytest.fixture
def lease_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """Tells the seconds on a lease's clock, which whoever sleeps moves on."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(lease, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    return lambda: now


@pytest.fixture(scope="session")
def dataset_record() -> DatasetRecord:
    return DatasetRecord(
        source="cifar10",
        name="cifar10",
        fingerprint="ab" * 32,
        num_train=45_000,
        num_validation=5_000,
        classes=CLASSES,
        mean=(0.491, 0.482, 0.447),
        standard_deviation=(0.247, 0.243, 0.261),
    )


@pytest.fixture(scope="session")
def sweep_record(dataset_record: DatasetRecord) -> SweepRecord:
    return SweepRecord(
        sweep_id="cnn-1",
        study="cnn",
        seed=0,
        num_trials=2,
        max_epochs=4,
        grace_period=1,
        reduction_factor=4,
        accelerators_per_trial=0.5,
        cpus_per_trial=1.0,
        dataset=dataset_record,
        versions={"python": "3.11"},
        commit="abc",
        hardware={"cpus": "2"},
        started_at="2026-01-01T00:00:00+00:00",
    )


@pytest.fixture(scope="session")
def epoch_metrics() -> list[EpochMetrics]:
    return [
        EpochMetrics(
            trial_id=trial,
            epoch=epoch,
            train_loss=2.0 / epoch,
            train_accuracy=0.1 * epoch,
            validation_loss=2.1 / epoch,
            validation_accuracy=0.1 * epoch + offset,
            learning_rate=0.01,
            seconds=1.5,
        )
        for trial, offset, last in (("t0000", 0.05, 4), ("t0001", 0.0, 1))
        for epoch in range(1, last + 1)
    ]


@pytest.fixture(scope="session")
def trial_record() -> TrialRecord:
    return TrialRecord(
        trial_id="t0000",
        config={"model": "classic_cnn", "learning_rate": 0.001},
        outcome="completed",
        num_epochs=4,
        best_epoch=4,
        best_validation_accuracy=0.45,
    )


@pytest.fixture(scope="session")
def sweep_result(trial_record: TrialRecord) -> SweepResult:
    return SweepResult(
        sweep_id="cnn-1",
        study="cnn",
        ranking=("t0000", "t0001"),
        winner=trial_record,
        outcomes={"completed": 1, "stopped": 1},
        num_epochs=5,
        wall_s=1.0,
        accelerator_seconds=0.0,
        finished_at="2026-01-01T01:00:00+00:00",
    )


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[local.LocalCluster]:
    """One real Ray head with Jobs API and one real S3 server for all tests of a run."""
    with tempfile.TemporaryDirectory(prefix="crt-") as home:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_", "CIFAR_RAY_"))
        }
        # else Ray starts a process per CPU for each job, most of which end unused: 2 to 3 s of CPU time a job
        kept["RAY_prestart_worker_first_driver"] = "0"
        cluster = local.up(local.LocalClusterOptions(home=Path(home), num_cpus=2), environ=kept)
        try:
            yield cluster
        finally:
            local.down(Path(home))


@pytest.fixture
def cluster(shared_cluster: local.LocalCluster, own_home: None, monkeypatch: pytest.MonkeyPatch) -> local.LocalCluster:
    """The shared cluster, taken up in the environment as `eval "$(cifar-ray local env)"` does."""
    for name, value in shared_cluster.environment().items():
        monkeypatch.setenv(name, value)
    return shared_cluster
