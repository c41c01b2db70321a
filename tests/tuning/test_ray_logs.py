"""What Ray Tune's own code logs when a store fails."""

import logging

import pyarrow.fs
import pytest
from ray.train._internal.storage import _create_directory

from cifar_ray.tuning.ray_logs import shorten_tracebacks


def test_a_store_that_does_not_answer_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("ray.train._internal.storage")
    filesystem = pyarrow.fs.LocalFileSystem()
    try:
        shorten_tracebacks()
        _create_directory(filesystem, "/proc/no/such")
    finally:
        logger.filters.clear()
    (record,) = caplog.records
    assert record.exc_info is None
    assert record.getMessage().startswith("Ray Tune could not write its own state")
    assert len(record.getMessage().splitlines()) == 1
