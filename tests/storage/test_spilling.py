"""Checkpoints that wait on the node's disk."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import fakes
import pytest

from cifar_ray.storage.checkpoints import Checkpoint
from cifar_ray.storage.spilling import Spill


def checkpoint(num_bytes: int) -> Checkpoint:
    half = os.urandom(num_bytes // 2)
    return Checkpoint(epoch=3, validation_accuracy=0.5, config={"x": 1}, weights=half, trainer_state=half[::-1])


def test_it_comes_back_as_it_was_as_often_as_it_is_asked_for() -> None:
    first, second = checkpoint(1 << 20), fakes.checkpoint(4, 0.2)
    spill = Spill()
    spilled = [spill.take(first), spill.take(second)]
    for _ in range(2):
        assert [each() for each in spilled if each] == [first, second]


def test_nothing_of_it_can_be_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has no name: no process that is killed leaves it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spilled = Spill().take(checkpoint(1 << 20))
    assert spilled is not None
    files = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.exists() or path.is_symlink()]
    assert any(name.startswith(str(tmp_path)) for name in files), "it is there"
    assert list(tmp_path.iterdir()) == []


def test_it_takes_no_more_than_it_may_and_what_is_let_go_makes_room() -> None:
    spill = Spill(limit_bytes=250_000)
    spilled = [spill.take(checkpoint(100_000)) for _ in range(3)]
    assert [each is not None for each in spilled] == [True, True, False]
    assert spill.num_bytes == 200_000
    spilled.clear()
    gc.collect()
    assert spill.num_bytes == 0
    assert spill.take(checkpoint(250_000)) is not None


@pytest.mark.fault("a disk is full")
def test_a_full_disk_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # which refuses every byte, as a disk does
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda buffering: open("/dev/full", "wb", buffering=0))  # noqa: SIM115
    spill = Spill()
    assert spill.take(checkpoint(100)) is None
    assert spill.num_bytes == 0
