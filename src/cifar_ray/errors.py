"""The exceptions of the package, one tree.

CifarRayError                    an error that a person can act on; carries a hint and an exit code
├── ConfigurationError           an option, a URI, a study or an environment variable is wrong
│   ├── UnknownNameError         no study or sweep of that name
│   ├── SweepExistsError         the sweep id is taken
│   ├── SweepHeldError           another driver is at work on the sweep
│   └── CapacityError            no node can ever hold one trial
├── DataError                    the data set is missing, damaged or not what it says
├── StorageError                 the object store refuses or cannot be reached
│   ├── StoreUnavailableError    it does not answer, or asks to be called later
│   │   └── CredentialsError     it knows no such credentials, or there are none
│   ├── ObjectNotFoundError      there is no object of that key
│   └── RecordError              an object is not the record that it should be
├── DeviceError                  an accelerator, or a process's context on it, has become unusable
├── NotAMemberError              a trial asks an engine's process of which it is no member
├── CheckpointError              a checkpoint is not whole or not ours
├── ClusterError                 a cluster cannot be started, found, looked at or stopped
│   ├── RefusedError             the Kubernetes API has answered, and refused
│   └── UnreachableError         no answer from the cluster
├── JobFailedError               a submitted job failed
├── JobStoppedError              a submitted job was stopped before its end
└── InterruptedSweepError        a signal ended a sweep; it can be resumed
    └── TimeLimitError           its time limit did
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import IO, Any, ClassVar

import click


class CifarRayError(click.ClickException):
    """An error with one line that says what is wrong and a hint that says what to do next.

    It is a click exception so that every command and job ends with that line, the hint and `exit_code`
    instead of a traceback. `hint` is an attribute, not an argument of the base class, so it survives the
    pickling between Ray's processes.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            # shown in tracebacks: in Python, not on the command line
            self.add_note(f"hint: {hint}")

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error, then the hint, to stderr (or `file`)."""
        said = [f"error: {self.message}", *([f"hint: {self.hint}"] if self.hint else [])]
        # they may quote what others have written
        for line in "\n".join(said).split("\n"):
            click.echo(plain(line), file=file, err=True)


class ConfigurationError(CifarRayError):
    """An option, a URI, a study or an environment variable is wrong."""

    exit_code: ClassVar[int] = 2


_LISTS = {"study": "cifar-ray study list", "sweep": "cifar-ray results list", "job": "cifar-ray job list"}
"""By kind, the command that lists what there is."""


class UnknownNameError(ConfigurationError):
    """No study or sweep has that name; names the nearest that exist, or what lists them."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str], flags: str = "") -> UnknownNameError:
        """The error for a `name` of a `kind` ("study", "sweep", "job", "setting") that is not among `known`.

        `flags` name the store or cluster to the command that lists them, with a blank before them.
        """
        names = sorted(known)
        by_form = {each.lower(): each for each in names}
        # such as lr for learning_rate
        initials = [each for each in names if name == "".join(word[:1] for word in re.split("[_-]", each))]
        if nearest := initials or difflib.get_close_matches(name.lower(), by_form, n=3, cutoff=0.5):
            hint = f"did you mean {', '.join(by_form[each.lower()] for each in nearest)}?"
        elif names:
            hint = f"`{_LISTS[kind]}{flags}` shows what there is" if kind in _LISTS else f"there are {', '.join(names)}"
        else:
            hint = f"there is no {kind} yet"
        return cls(f"unknown {kind} {name!r}", hint)


class SweepExistsError(ConfigurationError):
    """The sweep id is taken."""

    @classmethod
    def of(cls, sweep_id: str, store: str) -> SweepExistsError:
        """The error for a `sweep_id` that is in the store already."""
        return cls(f"sweep {sweep_id!r} exists in {store}", "take another --sweep-id, or --resume to continue it")


class SweepHeldError(ConfigurationError):
    """Another driver is at work on the sweep."""

    @classmethod
    def of(cls, sweep_id: str, host: str) -> SweepHeldError:
        """The error for a sweep whose driver runs on `host`."""
        return cls(
            f"sweep {sweep_id!r} has a driver at work on it, on {host}",
            "follow that one (cifar-ray job list), or stop it first (cifar-ray job stop)",
        )


class CapacityError(ConfigurationError):
    """No node of the cluster, present or to come, can hold one trial."""


class DataError(CifarRayError):
    """The data set is missing, damaged or not what it says it is."""

    exit_code: ClassVar[int] = 2


class StorageError(CifarRayError):
    """The object store refuses or cannot be reached."""

    exit_code: ClassVar[int] = 2


class StoreUnavailableError(StorageError):
    """The object store does not answer, or asks to be left alone for a while: the same call may succeed later."""


class CredentialsError(StoreUnavailableError):
    """The object store knows no such credentials, or there are none: their provider may have others later."""


class ObjectNotFoundError(StorageError):
    """There is no object of that key."""


class RecordError(StorageError):
    """A stored object is not the record that it should be."""

    @classmethod
    def of_lost_trial(cls, sweep_id: str, trial_id: str) -> RecordError:
        """The error for a trial that the sweep's result names, and that has no record."""
        return cls(f"sweep {sweep_id} has lost the record of trial {trial_id}", "take another sweep")


class DeviceError(CifarRayError):
    """An accelerator, or this process's context on it, has become unusable; another process may be able to go on."""


class NotAMemberError(CifarRayError):
    """A trial asks an engine's process of which it is no member, as after a restart: it must join that one first."""


class CheckpointError(CifarRayError):
    """A checkpoint is not whole or not ours."""


class ClusterError(CifarRayError):
    """A cluster cannot be started, found, looked at or stopped."""

    exit_code: ClassVar[int] = 2


class RefusedError(ClusterError):
    """The Kubernetes API has answered, and refused: not found, or not allowed."""

    def __init__(self, message: str, hint: str | None = None, *, status: int = 0) -> None:
        super().__init__(message, hint)
        self.status = status

    @property
    def is_forbidden(self) -> bool:
        """Whether the credentials are valid but lack the permission."""
        return self.status == HTTPStatus.FORBIDDEN

    @property
    def is_missing(self) -> bool:
        """Whether there is no such object or kind."""
        return self.status == HTTPStatus.NOT_FOUND


class UnreachableError(ClusterError):
    """No answer from the cluster within the deadline."""

    exit_code: ClassVar[int] = 4


class JobFailedError(CifarRayError):
    """A submitted job failed."""


class JobStoppedError(CifarRayError):
    """A submitted job was stopped before its end."""

    exit_code: ClassVar[int] = 3


class InterruptedSweepError(CifarRayError):
    """A signal ended a sweep before all its trials had ended; it can be resumed."""

    exit_code: ClassVar[int] = 130


class TimeLimitError(InterruptedSweepError):
    """A sweep's time was up before all its trials had ended; it can be resumed."""

    # as coreutils' `timeout` exits
    exit_code: ClassVar[int] = 124


BUSY_STATUS = (408, 429)
"""HTTP's below 500 that ask to come again; from proxies, too, which answer in HTML."""
_USER_INFO = re.compile(r"://[^/\s]*@")


def without_user(text: str) -> str:
    """Another library's message, without the name and password that a URL in it may hold."""
    return _USER_INFO.sub("://…@", text)


def first_line(error: BaseException) -> str:
    """The first line of the error's text; its type's name where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def last_line(error: BaseException) -> str:
    """The last line of the error's text (in Ray a traceback) but for hints; its type's name where it has none."""
    lines = [line for line in str(error).strip().splitlines() if not line.startswith("hint: ")]
    return [type(error).__name__, *lines][-1]


def plain(text: str) -> str:
    """Text on one line without control characters, such as an error's colours or a name's line break."""
    return "".join(character if character.isprintable() else " " for character in text)
