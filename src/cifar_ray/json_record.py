"""Frozen dataclasses as JSON objects, checked when they are read back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from annotated_types import Ge, Interval, Predicate

from cifar_ray.errors import RecordError
from cifar_ray.studies.study import LEAST_SHARE, NAME

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def is_instant(text: str) -> bool:
    """Whether it is a time in ISO 8601 that says its zone, so that others can be subtracted from it."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def can_be_held(amount: float) -> bool:
    """Whether a trial can hold so much of a resource."""
    return amount == 0 or amount >= LEAST_SHARE


def is_study_name(text: str) -> bool:
    """Whether a study can have that name, which commands for pasting hold as it is."""
    return NAME.fullmatch(text) is not None


DAMAGED = "the record is damaged or from another version"
"""What to think of one that is not as its type says."""

# bounds of a record's field, checked when it is read
Share = Annotated[float, Interval(ge=0, le=1)]
Amount = Annotated[float, Interval(ge=0, le=2**53)]
Seconds = Annotated[float, Interval(gt=0, le=2**53)]
Rate = Annotated[float, Ge(0)]
Held = Annotated[Amount, Predicate(can_be_held)]
Count = Annotated[int, Interval(ge=0, le=2**53)]
PositiveCount = Annotated[int, Interval(ge=1, le=10**7)]
Factor = Annotated[int, Interval(ge=2, le=2**53)]
Instant = Annotated[str, Predicate(is_instant)]
StudyName = Annotated[str, Predicate(is_study_name)]


class Record:
    """A frozen dataclass that is written as a JSON object and checked when read back."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    def to_json(self, indent: int | None = 2) -> str:
        """JSON text; NaN and infinities become null."""
        return _adapter(type(self)).dump_json(self, indent=indent).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The record in `text`; RecordError, which names the field, where it is not one."""
        from pydantic import ValidationError  # noqa: PLC0415

        try:
            record: Self = _adapter(cls).validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, (cls.__name__, *first["loc"])))
            raise RecordError(f"{where}: {first['msg']}", DAMAGED) from error
        return record


_ADAPTERS: dict[type[Record], TypeAdapter[Any]] = {}


def _adapter(kind: type[Record]) -> TypeAdapter[Any]:
    # imported with the first record that is read or written: training alone and `--help` do not need it
    from pydantic import TypeAdapter  # noqa: PLC0415

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
