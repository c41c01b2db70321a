"""Real sweeps to plan from: those in docs/results."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifar_ray.planning.finished_sweep import FinishedSweep, read_finished
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def read(folder: Path, sweep_id: str, study: str = "cnn") -> FinishedSweep:
    return read_finished(RunStore(FolderStore(folder)), sweep_id, get_study(study))


@pytest.fixture(scope="session")
def results() -> RunStore:
    return RunStore(FolderStore(RESULTS))


@pytest.fixture(scope="session")
def alone() -> FinishedSweep:
    """30 trials, two at once."""
    return read(RESULTS, "cnn-20261123-140840-f23b")


@pytest.fixture(scope="session")
def cohort() -> FinishedSweep:
    """30 trials in a cohort of 16, before its passes were judged together."""
    return read(RESULTS, "cnn-20261123-202106-86f1")


@pytest.fixture(scope="session")
def deep() -> FinishedSweep:
    """16 trials of `cnn-depth`, two at once; its finals are not in it."""
    return read(RESULTS, "cnn-depth-20261126-041403-244678fe", "cnn-depth")


@pytest.fixture(scope="session")
def deep_short() -> FinishedSweep:
    """The same 16, of fewer epochs; its longer finals are not in it."""
    return read(RESULTS, "cnn-depth-20261127-072559-dca0a23a", "cnn-depth")


@pytest.fixture(scope="session")
def speed_runs() -> FinishedSweep:
    """8 trials of `fast` as it was at first, one at once; its longer finals are not in it."""
    return read(RESULTS, "fast-20261126-082542-6d4f82a5", "fast")


@pytest.fixture(scope="session")
def speed_runs_today() -> FinishedSweep:
    """8 trials of `fast` as it is now, two at once."""
    return read(RESULTS, "fast-20261127-103736-1b5cbc14", "fast")


@pytest.fixture(scope="session")
def large_cohort() -> FinishedSweep:
    """60 trials of at most 24 epochs in a cohort of 16, whose passes were judged together."""
    return read(RESULTS, "cnn-24-seed-0")


@pytest.fixture(scope="session")
def averaged_cohort() -> FinishedSweep:
    """As many of `cnn-ema`."""
    return read(RESULTS, "cnn-ema-60-seed-0", "cnn-ema")


@pytest.fixture(scope="session")
def small_alone() -> FinishedSweep:
    """The same trials, two at once."""
    return read(RESULTS / "planning-20261125", "plan-b-alone")


@pytest.fixture(scope="session")
def other_cohort() -> FinishedSweep:
    """60 trials of another seed."""
    return read(RESULTS, "cnn-24-seed-1")
