"""Copies a sweep from a store to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cifar_ray.errors import ConfigurationError, ObjectNotFoundError, RecordError
from cifar_ray.records import SweepRecord
from cifar_ray.storage import layout
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore


def pull_sweep(runs: RunStore, sweep_id: str, folder: Path, *, with_checkpoints: bool = False) -> int:
    """Copy all but the lease (and, if not wanted, the checkpoints); returns the number of files.

    What a running sweep removes meanwhile, such as a checkpoint that a newer one replaces, is left out.
    sweep.json comes last: of a copy that is cut off, nothing reads the trials that it has as if they were all.
    ConfigurationError where the folder has another sweep of that id, whole or in part.
    """
    target, sweep = FolderStore(folder.absolute()), runs.sweep(sweep_id)
    found = runs.objects.keys(sweep_id)
    _check_same(sweep, RunStore(target), found)
    keys = [
        key
        for key in found
        if (with_checkpoints or "/checkpoints/" not in key)
        # whoever holds it is at work on the store, not on the copy
        and key != layout.lease(sweep_id)
    ]
    keys.sort(key=lambda key: key == layout.sweep_record(sweep_id))
    if layout.result(sweep_id) not in found:
        # a sweep that has been given more trials: its former winner may not be the one
        for key in (layout.test_scores(sweep_id), layout.result(sweep_id)):
            target.delete(key)
    num_files = 0
    for key in keys:
        try:
            content = runs.objects.read(key)
        except ObjectNotFoundError:
            continue
        target.write(key, content)
        num_files += 1
    return num_files


def _check_same(sweep: SweepRecord, copies: RunStore, found: Sequence[str]) -> None:
    """A sweep may be deleted and its id used again: an older copy keeps what the newer sweep does not replace."""
    # a damaged record is as none: it is replaced
    with suppress(RecordError):
        if copies.has_sweep(sweep.sweep_id):
            if (begun := copies.sweep(sweep.sweep_id).started_at) != sweep.started_at:
                raise _others(copies, sweep.sweep_id, f"begun at {begun}")
            return
    # of a copy that was cut off; only checkpoints are replaced by newer ones
    others = {key for key in copies.objects.keys(sweep.sweep_id) if "/checkpoints/" not in key} - {*found}
    if others:
        raise _others(copies, sweep.sweep_id, f"with {min(others)}")


def _others(copies: RunStore, sweep_id: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{copies.objects.uri} has another sweep {sweep_id}, {what}", "take another --to, or remove that copy"
    )
