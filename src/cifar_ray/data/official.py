"""Downloads the official CIFAR-10 archive into the cache, once, with checksums checked by torchvision."""

from __future__ import annotations

import http.client
import os
import socket
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cifar_ray.errors import DataError
from cifar_ray.torchvision_import import torchvision

CONNECT_TIMEOUT_S = 20
CIFAR10 = torchvision.datasets.CIFAR10
FOLDER = str(CIFAR10.base_folder)
_HINT = "set CIFAR_RAY_DATA to a folder that holds CIFAR-10, or take --data shapes"


def is_available(cache: Path) -> bool:
    """Whether the archive is cached, or its server answers within 20 s."""
    return _is_whole(cache) or _answers() is None


def fetch_official(cache: Path) -> Path:
    """The folder of the pickled batches, downloaded if it is not cached; DataError where that fails."""
    if not _is_whole(cache):
        if (reason := _answers()) is not None:
            raise DataError(f"CIFAR-10 cannot be downloaded: {reason}", _HINT)
        try:
            _download(cache)
        except (RuntimeError, OSError, http.client.HTTPException) as error:
            raise DataError(f"the download of CIFAR-10 into {cache} failed: {error}", _HINT) from error
    return cache / FOLDER


def _is_whole(cache: Path) -> bool:
    """Whether every batch is there with torchvision's checksum. Nothing is unpickled."""
    files = [*CIFAR10.train_list, *CIFAR10.test_list]
    try:
        return all(torchvision.datasets.utils.check_integrity(cache / FOLDER / name, md5) for name, md5 in files)
    except OSError:
        return False


def _answers() -> str | None:
    """None if the archive's server answers, else the reason why not."""
    try:
        with urllib.request.urlopen(CIFAR10.url, timeout=CONNECT_TIMEOUT_S):
            return None
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def _download(cache: Path) -> None:
    """Download into a folder beside the final one, renamed when complete: no other process sees a partial copy."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".partial-") as folder:
        # a broken copy is moved away now; after the download it could be another process's complete one
        if (cache / FOLDER).exists() and not _is_whole(cache):
            with suppress(FileNotFoundError):
                os.rename(cache / FOLDER, Path(folder) / "broken")
        with _connect_timeout():
            torchvision.datasets.utils.download_url(CIFAR10.url, folder, CIFAR10.filename, CIFAR10.tgz_md5)
        with tarfile.open(Path(folder) / CIFAR10.filename) as archive:
            # Python before 3.11.4 has no such filter
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(folder)
        if not _is_whole(Path(folder)):
            raise RuntimeError("its batches have not torchvision's checksums")
        try:
            os.rename(Path(folder) / FOLDER, cache / FOLDER)
        except OSError:
            # another process was faster: its copy is as good
            if not _is_whole(cache):
                raise


@contextmanager
def _connect_timeout() -> Iterator[None]:
    """Set a default timeout: torchvision's download sets none and would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECT_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
