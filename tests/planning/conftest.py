"""Real sweeps to plan from: those in docs/results."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifar_ray.planning.curve_source import FinishedSweep, read_finished
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study

RESULTS = Path(__file__).parents[2] / "docs" / "results"
ALONE, COHORT = "cnn-20261123-140840-f23b", "cnn-20261123-202106-86f1"


@pytest.fixture(scope="session")
def results() -> RunStore:
    return RunStore(FolderStore(RESULTS))


@pytest.fixture(scope="session")
def alone(results: RunStore) -> FinishedSweep:
    """30 trials, two at once."""
    return read_finished(results, ALONE, get_study("cnn"))


@pytest.fixture(scope="session")
def cohort(results: RunStore) -> FinishedSweep:
    """30 trials in a cohort of 16."""
    return read_finished(results, COHORT, get_study("cnn"))
