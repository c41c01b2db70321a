"""A folder of an object store as a store of its own."""

from __future__ import annotations

from cifar_ray.storage.object_store import ObjectStore, check_key


class NestedStore(ObjectStore):
    """The objects below `folder`, under keys relative to it. `open_store` of its `uri` finds the same ones."""

    def __init__(self, store: ObjectStore, folder: str) -> None:
        self._store = store
        self._folder = check_key(folder)

    @property
    def uri(self) -> str:
        """The folder's URI."""
        return f"{self._store.uri}/{self._folder}"

    def read(self, key: str) -> bytes:
        """The object's bytes."""
        return self._store.read(self._outer(key))

    def write(self, key: str, content: bytes) -> None:
        """Put the object whole."""
        self._store.write(self._outer(key), content)

    def delete(self, key: str) -> None:
        """Remove the object."""
        self._store.delete(self._outer(key))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The bytes of each object, by key."""
        outer = self._store.sizes(self._outer(prefix) if prefix else self._folder)
        return {key.removeprefix(f"{self._folder}/"): size for key, size in outer.items()}

    def folders(self) -> list[str]:
        """The names of the top folders."""
        return sorted({key.partition("/")[0] for key in self.keys() if "/" in key})

    def hurried(self) -> ObjectStore:
        """The folder in the store's own hurried one."""
        return NestedStore(self._store.hurried(), self._folder)

    def _outer(self, key: str) -> str:
        return f"{self._folder}/{check_key(key)}"
