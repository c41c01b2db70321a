"""A study of ResNets, end to end, on a few images of the real set."""

from pathlib import Path

import pyarrow.parquet
import pytest
from job_commands import check_books, submit

from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster.local import LocalCluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def small_cifar(real_data: Path, tmp_path: Path) -> str:
    """A few images of the real set, in the same layout: the first 100, and of the test images one of each class."""
    for part, take in (("train", lambda labels: range(100)), ("test", lambda labels: map(labels.index, range(10)))):
        (path,) = real_data.glob(f"{part}-*.parquet")
        table = pyarrow.parquet.read_table(path)
        pyarrow.parquet.write_table(table.take([*take(table["label"].to_pylist())]), tmp_path / path.name)
    return str(tmp_path)


def test_a_small_sweep_on_the_real_set(cluster: LocalCluster, small_cifar: str) -> None:
    runs = connect_runs(None)
    size = ("--trials", "1", "--max-epochs", "1", "--data", small_cifar)
    submit("resnet-schedule", *size, "--sweep-id", "small-1")
    check_books(runs, "small-1", num_trials=1)
    table = submit("evaluate", "small-1")
    assert "not the official archive" in " ".join(table.split())
    scores = runs.test_scores("small-1")
    assert scores is not None
    assert scores.num_images == 10
