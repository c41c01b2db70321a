"""An object store that keeps nothing: training without checkpoints."""

from __future__ import annotations

from cifar_ray.errors import ObjectNotFoundError


class NullStore:
    """Takes every object and drops it."""

    @property
    def uri(self) -> str:
        """Names it in messages."""
        return "null"

    def read(self, key: str) -> bytes:
        """There is never any object."""
        raise ObjectNotFoundError(f"no object {key!r}: this store keeps none")

    def write(self, key: str, content: bytes) -> None:
        """Drop it."""

    def delete(self, key: str) -> None:
        """Nothing to remove."""

    def keys(self, prefix: str = "") -> list[str]:
        """None."""
        return []

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """None."""
        return {}

    def folders(self) -> list[str]:
        """None."""
        return []
