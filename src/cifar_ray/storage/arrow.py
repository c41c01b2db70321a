"""The object store as a pyarrow filesystem, for Ray Tune's own state."""

from __future__ import annotations

from urllib.parse import urlsplit

import pyarrow.fs

from cifar_ray.settings import S3Settings
from cifar_ray.storage.s3 import CONNECT_TIMEOUT_S, READ_TIMEOUT_S


def arrow_filesystem(uri: str, settings: S3Settings) -> tuple[pyarrow.fs.FileSystem, str]:
    """The filesystem, and the path in it, of a store's URI that `open_store` has accepted.

    Credentials come from Arrow's provider chain, never as arguments: Ray Tune pickles the filesystem into its
    state, which lies in the store.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return pyarrow.fs.LocalFileSystem(), uri
    assert scheme == "s3"
    endpoint = urlsplit(settings.endpoint_url) if settings.endpoint_url else None
    filesystem = pyarrow.fs.S3FileSystem(
        region=settings.region,
        connect_timeout=CONNECT_TIMEOUT_S,
        request_timeout=READ_TIMEOUT_S,
        **({"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme} if endpoint else {}),
    )
    return filesystem, rest
