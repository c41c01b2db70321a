"""The official CIFAR-10 archive, downloaded once into the cache, its checksums checked by torchvision."""

from __future__ import annotations

import shutil
import socket
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from cifar_ray.errors import DataError
from cifar_ray.torchvision_import import torchvision

CONNECT_TIMEOUT_S = 20
FOLDER = torchvision.datasets.CIFAR10.base_folder
_HINT = "set CIFAR_RAY_DATA to a folder that holds CIFAR-10, or take --data shapes"


def is_available(cache: Path) -> bool:
    """Whether it is cached, or its server answers within 20 s."""
    return _is_whole(cache) or _answers() is None


def fetch_official(cache: Path) -> Path:
    """The folder of its pickled batches, downloaded where the cache lacks it; DataError where that fails."""
    if not _is_whole(cache):
        if (reason := _answers()) is not None:
            raise DataError(f"CIFAR-10 cannot be downloaded: {reason}", _HINT)
        _download(cache)
    return cache / str(FOLDER)


def _is_whole(cache: Path) -> bool:
    try:
        torchvision.datasets.CIFAR10(cache, download=False)
    except RuntimeError:  # torchvision's word for missing or not of its checksums
        return False
    return True


def _answers() -> str | None:
    """None where the server of the archive answers; else why not."""
    try:
        with urllib.request.urlopen(torchvision.datasets.CIFAR10.url, timeout=CONNECT_TIMEOUT_S):
            return None
    except urllib.error.URLError as error:
        return str(error.reason)
    except OSError as error:
        return str(error)


def _download(cache: Path) -> None:
    """Into a folder beside the cache's, renamed when whole: a reader, or a second download, sees no half."""
    cache.mkdir(parents=True, exist_ok=True)
    timeout = socket.getdefaulttimeout()
    with tempfile.TemporaryDirectory(dir=cache, prefix=".partial-") as folder:
        socket.setdefaulttimeout(CONNECT_TIMEOUT_S)  # torchvision's download has none of its own
        try:
            torchvision.datasets.CIFAR10(folder, download=True)
        except (RuntimeError, OSError) as error:
            raise DataError(f"the download of CIFAR-10 failed: {error}", _HINT) from error
        finally:
            socket.setdefaulttimeout(timeout)
        if not _is_whole(cache):
            shutil.rmtree(cache / str(FOLDER), ignore_errors=True)
            shutil.move(Path(folder) / str(FOLDER), cache / str(FOLDER))
