"""Describes what a check has found: what it looked at, what it saw, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cifar_ray.errors import CifarRayError, RefusedError


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    """It may work all the same, or could not be checked."""
    ERROR = "error"
    """Sweeps will not run until it is fixed."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's output."""

    checked: str
    severity: Severity
    found: str
    todo: str | None = None
    """What to do; None where all is well."""


def ok(checked: str, found: str) -> Finding:
    """A finding that all is well."""
    return Finding(checked=checked, severity=Severity.OK, found=found)


def warning(checked: str, found: str, todo: str) -> Finding:
    """A finding that may do no harm."""
    return Finding(checked=checked, severity=Severity.WARNING, found=found, todo=todo)


def error(checked: str, found: str, todo: str) -> Finding:
    """A finding that keeps sweeps from running."""
    return Finding(checked=checked, severity=Severity.ERROR, found=found, todo=todo)


def guarded(checked: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The check's findings; if it fails, that is the last: a mere warning where access is forbidden."""
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
