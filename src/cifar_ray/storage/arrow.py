"""The object store as a pyarrow filesystem, for Ray Tune's own state."""

from __future__ import annotations

import io
import os
import uuid
from typing import Any
from urllib.parse import urlsplit

import pyarrow.fs
from fsspec.implementations.local import LocalFileSystem

from cifar_ray.settings import S3Settings
from cifar_ray.storage.folder import PARTIAL
from cifar_ray.storage.s3 import CONNECT_TIMEOUT_S, READ_TIMEOUT_S


def arrow_filesystem(uri: str, settings: S3Settings) -> tuple[pyarrow.fs.FileSystem, str]:
    """The filesystem, and the path in it, of a store's URI that `open_store` has accepted.

    Credentials come from Arrow's provider chain, never as arguments: Ray Tune pickles the filesystem into its
    state, which lies in the store.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(WholeFileSystem())), uri
    assert scheme == "s3"
    endpoint = urlsplit(settings.endpoint_url) if settings.endpoint_url else None
    filesystem = pyarrow.fs.S3FileSystem(
        region=settings.region,
        connect_timeout=CONNECT_TIMEOUT_S,
        request_timeout=READ_TIMEOUT_S,
        **({"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme} if endpoint else {}),
    )
    return filesystem, rest


class WholeFileSystem(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Local files that are whole or not there: Ray Tune writes its state in place, where a full disk cuts it off."""

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        return _WholeFile(path) if mode == "wb" else super()._open(path, mode, **options)


class _WholeFile(io.BufferedWriter):
    """Takes its name when it is closed, unless a write has failed."""

    def __init__(self, path: str) -> None:
        folder = os.path.dirname(path)
        self._path = path
        self._partial = os.path.join(folder, f"{PARTIAL}{uuid.uuid4().hex}")
        self._has_failed = False
        super().__init__(io.FileIO(self._partial, "wb"))

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError:
            self._has_failed = True
            raise

    def close(self) -> None:
        if self.closed:
            return
        try:
            super().close()
            if not self._has_failed:
                os.replace(self._partial, self._path)
        finally:
            if os.path.exists(self._partial):
                os.unlink(self._partial)
