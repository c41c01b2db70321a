"""Spares a store the reading of trials that have ended, of which a sweep may have a thousand."""

from __future__ import annotations

from cifar_ray.storage.object_store import ObjectStore


class TrialCache(ObjectStore):
    """The same store, read-only, with the records of ended trials kept. Call `sizes` or `keys` before `read`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._sizes: dict[str, int] = {}
        self._kept: dict[str, tuple[int, bytes]] = {}

    @property
    def uri(self) -> str:
        """The store's."""
        return self._store.uri

    def read(self, key: str) -> bytes:
        """A trial's record is read again if it ran when last seen, or has another size now."""
        if not key.endswith("/trial.json"):
            return self._store.read(key)
        size = self._sizes.get(key)
        if (kept := self._kept.get(key)) and kept[0] == size:
            return kept[1]
        content = self._store.read(key)
        if size == len(content) and b'"outcome": "running"' not in content:
            self._kept[key] = (size, content)
        return content

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The store's."""
        found = self._store.sizes(prefix)
        self._sizes |= found
        return found

    def folders(self) -> list[str]:
        """The store's."""
        return self._store.folders()

    def write(self, key: str, content: bytes) -> None:
        """Never."""
        raise PermissionError(f"{key}: the page only reads")

    def delete(self, key: str) -> None:
        """Never."""
        raise PermissionError(f"{key}: the page only reads")
