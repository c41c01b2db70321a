"""The file that `--figure` names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cifar_ray.errors import ConfigurationError


def check_figure(path: Path) -> None:
    """ConfigurationError where it cannot be written, which after minutes of simulation would be late, or is no PNG."""
    if path.suffix.lower() not in ("", ".png"):
        raise ConfigurationError(f"{path}: figures are PNG files", "take another --figure, whose name ends in .png")
    if not os.path.isdir(path.parent):
        raise ConfigurationError(f"{path}: there is no folder {path.parent}", "make it, or take another --figure")
    with _translated(path):  # such as a name that is too long
        target = path if path.exists() else path.parent
    if not os.access(target, os.W_OK):
        raise ConfigurationError(f"the figure {path} cannot be written", "name a file elsewhere with --figure")


def write_figure(path: Path, image: bytes) -> None:
    """ConfigurationError where it cannot be written."""
    with _translated(path):
        path.write_bytes(image)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", "take another --figure") from error
