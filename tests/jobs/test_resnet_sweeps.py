"""The two studies of ResNets, end to end, on a few images of the real set."""

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


def test_small_sweeps_on_the_real_set(cluster: LocalCluster, small_cifar: str) -> None:
    runs = connect_runs(None)
    sweep_ids = ["small-resnet", "small-resnet-schedule"]
    for sweep_id in sweep_ids:
        study = sweep_id.removeprefix("small-")
        submit(study, "--trials", "1", "--max-epochs", "1", "--data", small_cifar, "--sweep-id", sweep_id)
        check_books(runs, sweep_id, num_trials=1)
    table = submit("evaluate", *sweep_ids)
    assert "not the official archive" in " ".join(table.split())
    for sweep_id in sweep_ids:
        scores = runs.test_scores(sweep_id)
        assert scores is not None
        assert scores.num_images == 10
