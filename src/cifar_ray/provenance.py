"""Which software and machine a number comes from."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

from annotated_types import Predicate

from cifar_ray.json_record import Instant, Record
from cifar_ray.settings import read_settings

PACKAGES = ("cifar-ray", "torch", "torchvision", "pytorch-lightning", "ray", "numpy", "pillow")
GIT_TIMEOUT_S = 10
MAX_DEVICES = 10**9
"""Cores or accelerators that a sweep's nodes may have."""


def has_numbers(hardware: Mapping[str, str]) -> bool:
    """Whether its cores and accelerators are numbers."""
    try:
        return all(0 <= float(hardware.get(name, "0")) <= MAX_DEVICES for name in ("cpus", "accelerators"))
    except ValueError:
        return False


Hardware = Annotated[Mapping[str, str], Predicate(has_numbers)]
"""What a sweep's nodes have, by name."""


@dataclass(frozen=True, kw_only=True)
class Interruption(Record):
    """A driver's end before its sweep had ended, where the driver could still record it."""

    at: Instant
    """ISO 8601, UTC."""
    why: str


@dataclass(frozen=True, kw_only=True)
class Resumption(Record):
    """What a later driver continued the sweep with."""

    at: Instant
    """ISO 8601, UTC."""
    commit: str | None
    versions: Mapping[str, str]
    hardware: Hardware


def now(timespec: str = "seconds") -> str:
    """The time, ISO 8601 in UTC, to the second or as `timespec` says."""
    return datetime.now(UTC).isoformat(timespec=timespec)


def seconds_between(start: str, end: str) -> float:
    """From one such time to another; below 0 if the clock was set back. ValueError or TypeError if they are none."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def package_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that numbers depend on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def source_commit() -> str | None:
    """The commit of the source that runs, with `-dirty` where tracked files differ from it, or may do.

    `CIFAR_RAY_COMMIT`, which a container image sets, takes precedence; None without it and without a checkout.
    """
    if commit := read_settings().commit:
        return commit
    folder = Path(__file__).parent
    head = _git(folder, "rev-parse", "--short=12", "HEAD")
    # an installed copy may lie inside some other project's checkout
    if head is None or not _git(folder, "ls-files", Path(__file__).name):
        return None
    # a large checkout on a slow disk may take longer to compare than git is given
    return head if _git(folder, "status", "--porcelain", "--untracked-files=no") == "" else f"{head}-dirty"


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
