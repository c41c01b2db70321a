"""A cluster that a test may break."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cifar_ray.cli.connection import LOCAL_FOLDER
from cifar_ray.cluster import local


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The state folder of a cluster that the test starts; it is ended with the test."""
    folder = Path(tempfile.mkdtemp(prefix="cr-test-", dir="/tmp"))
    monkeypatch.setenv("CIFAR_RAY_HOME", str(folder))
    try:
        yield folder / LOCAL_FOLDER
    finally:
        local.down(folder / LOCAL_FOLDER)
        shutil.rmtree(folder)
