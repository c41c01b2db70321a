"""Caches what no longer changes in a store: trials that have ended, sweeps that have been evaluated."""

from __future__ import annotations

from cifar_ray.errors import ObjectNotFoundError
from cifar_ray.storage.layout import SWEEP_RECORD
from cifar_ray.storage.object_store import ObjectStore


class TrialCache(ObjectStore):
    """A read-only view of a store that keeps the records of ended trials and evaluated sweeps.

    Call `sizes` or `keys` before reading a trial's record, and read a sweep's own record before its others.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._sizes: dict[str, int] = {}
        self._sweeps: dict[str, bytes] = {}
        """By sweep: its record as last seen."""
        self._ended: dict[str, dict[str, bytes]] = {}
        """By sweep and key: the records of ended trials."""
        self._evaluated: dict[str, dict[str, bytes]] = {}
        """By evaluated sweep and key: what was read."""

    @property
    def uri(self) -> str:
        """The underlying store's URI."""
        return self._store.uri

    def read(self, key: str) -> bytes:
        """Read an evaluated sweep once, except for its own record and its scores.

        If the record changes, the id has been reused; if the scores do, or are gone, it is evaluated anew.
        """
        sweep_id, _, name = key.partition("/")
        if name == SWEEP_RECORD:
            return self._read_sweep(sweep_id, key)
        if key.endswith("/test_scores.json"):
            return self._read_scores(sweep_id, key)
        kept = self._evaluated.get(sweep_id)
        if kept is not None and key in kept:
            return kept[key]
        content = self._read_trial(sweep_id, key) if key.endswith("/trial.json") else self._store.read(key)
        if kept is not None:
            kept[key] = content
        return content

    def _read_sweep(self, sweep_id: str, key: str) -> bytes:
        content = self._store.read(key)
        if self._sweeps.get(sweep_id) != content:
            self._sweeps[sweep_id] = content
            self._evaluated.pop(sweep_id, None)
            self._ended.pop(sweep_id, None)
        return content

    def _read_scores(self, sweep_id: str, key: str) -> bytes:
        try:
            content = self._store.read(key)
        except ObjectNotFoundError:
            self._evaluated.pop(sweep_id, None)
            raise
        if sweep_id in self._sweeps and self._evaluated.get(sweep_id, {}).get(key) != content:
            self._evaluated[sweep_id] = {key: content}
        return content

    def _read_trial(self, sweep_id: str, key: str) -> bytes:
        """Read it again if the trial was running or had failed when last read, or its size has changed."""
        ended = self._ended.setdefault(sweep_id, {})
        size = self._sizes.get(key)
        if key in ended and len(ended[key]) == size:
            return ended[key]
        content = self._store.read(key)
        # one that failed is trained again when its sweep is resumed
        if size == len(content) and not any(b'"outcome": "%s"' % name in content for name in (b"running", b"failed")):
            ended[key] = content
        return content

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The underlying store's sizes, by which `read` tells whether a trial has changed."""
        found = self._store.sizes(prefix)
        self._sizes |= found
        return found

    def folders(self) -> list[str]:
        """The underlying store's folders."""
        return self._store.folders()

    def write(self, key: str, content: bytes) -> None:
        """Always refused."""
        raise PermissionError(f"{key}: the page only reads")

    def delete(self, key: str) -> None:
        """Always refused."""
        raise PermissionError(f"{key}: the page only reads")
