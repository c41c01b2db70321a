"""What a check has found: what it looked at, what it saw, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cifar_ray.errors import CifarRayError, RefusedError


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    """It may work all the same, or could not be looked at."""
    ERROR = "error"
    """Sweeps will not run until it is mended."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's."""

    checked: str
    severity: Severity
    found: str
    todo: str | None = None
    """What to do; None where all is well."""


def ok(checked: str, found: str) -> Finding:
    """All is well."""
    return Finding(checked=checked, severity=Severity.OK, found=found)


def warning(checked: str, found: str, todo: str) -> Finding:
    """It may work all the same."""
    return Finding(checked=checked, severity=Severity.WARNING, found=found, todo=todo)


def error(checked: str, found: str, todo: str) -> Finding:
    """It will not work."""
    return Finding(checked=checked, severity=Severity.ERROR, found=found, todo=todo)


def guarded(checked: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The check's findings; where it fails, that is the last. What may not be looked at may still be well."""
    try:
        yield from check()
    except CifarRayError as problem:
        todo = problem.hint or "see the message"
        if isinstance(problem, RefusedError) and problem.is_forbidden:
            yield warning(checked, f"cannot be looked at: {problem.message}", todo)
        else:
            yield error(checked, problem.message, todo)


def exit_code(findings: Sequence[Finding]) -> int:
    """1 where there is an error; warnings alone are 0."""
    return int(any(finding.severity is Severity.ERROR for finding in findings))
