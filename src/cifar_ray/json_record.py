"""Frozen dataclasses as JSON objects, checked when they are read back."""

from __future__ import annotations

import json
import math
import sys
import types
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from cifar_ray.errors import RecordError


class Record:
    """A frozen dataclass that is written as a JSON object and checked when read back."""

    def to_json(self, indent: int | None = 2) -> str:
        """JSON text; NaN and infinities become null."""
        assert is_dataclass(self)
        return json.dumps(finite(asdict(self)), indent=indent, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The record in `text`; RecordError where it is not one."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecordError(f"not a {cls.__name__}: {error}") from error
        record = _decode(cls, values, cls.__name__)
        assert isinstance(record, cls)
        return record


def finite(value: Any) -> Any:
    """`value` with NaN and infinities as None, since JSON has neither."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _decode(kind: Any, value: Any, where: str) -> Any:
    """`value`, from JSON, as an instance of the annotated type `kind`; RecordError where it is none."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _decode_record(kind, value, where)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _decode(next(each for each in arguments if each is not type(None)), value, where)
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(value):
            return tuple(_decode(each, item, where) for each, item in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {key: _decode(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # NaN and infinities, which JSON has not, and integers that no float holds, are damage
    if kind is float and is_number and abs(value) <= sys.float_info.max:
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise RecordError(f"{where}: {value!r} is not {kind}", "the record is damaged or from another version")


def _decode_record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise RecordError(f"{where}: not a JSON object", "the record is damaged or from another version")
    hints = get_type_hints(kind)
    names = {each.name for each in fields(kind)}
    if unknown := sorted(set(value) - names):
        raise RecordError(f"{where}: unknown fields {', '.join(unknown)}", "written by a newer version?")
    try:
        return kind(**{name: _decode(hints[name], item, f"{where}.{name}") for name, item in value.items()})
    except TypeError as error:
        raise RecordError(f"{where}: {error}", "the record is damaged or from another version") from error
