"""What a string that names a data source may be: all that can be said of it before it is looked for."""

from __future__ import annotations

import re
from pathlib import Path

from cifar_ray.errors import ConfigurationError

ALLOWED = "take cifar10, shapes, shapes:N, auto, a folder, or s3://bucket/prefix"
NUM_SHAPES = 20_000
MIN_SHAPES, MAX_SHAPES = 20, 200_000
_SHAPES = re.compile(r"shapes(?::(?P<num_train>[0-9]{1,6}))?")


def is_data_word(source: str) -> bool:
    """Whether the data source is one that the package knows by name, whatever folder is called so."""
    return source in ("cifar10", "auto") or bool(_SHAPES.fullmatch(source))


def num_shapes(source: str) -> int | None:
    """The training images to generate; None where it names no generated ones, ConfigurationError if out of range."""
    if (match := _SHAPES.fullmatch(source)) is None:
        return None
    num_train = int(match["num_train"] or NUM_SHAPES)
    if not MIN_SHAPES <= num_train <= MAX_SHAPES:
        raise ConfigurationError(f"shapes:{num_train} is out of range", f"take {MIN_SHAPES} to {MAX_SHAPES} images")
    return num_train


def check_source(source: str) -> None:
    """Raise ConfigurationError where it can be found nowhere: a word that is no folder here is one nowhere."""
    num_shapes(source)
    is_path = "/" in source or source.startswith((".", "~"))
    if not (is_data_word(source) or is_path or is_folder(source)):
        raise ConfigurationError(f"data {source!r} is no source and no folder", ALLOWED)
    if "://" in source and not source.startswith("s3://"):
        raise ConfigurationError(f"data {source!r} is no source", ALLOWED)


def is_folder(path: str) -> bool:
    """Whether there is one; a name that is too long for any is none."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False
