"""The status of a submitted job."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})


def resume_command(metadata: Mapping[str, str], flags: str = "") -> str | None:
    """The command that resumes a job's sweep; None for a job without one.

    `metadata` is what the job was submitted with; `flags` name the cluster.
    """
    study, sweep_id = metadata.get("study"), metadata.get("sweep_id")
    if not (study and sweep_id):
        return None
    store = f" --storage {shlex.quote(metadata['storage'])}" if "storage" in metadata else ""
    jobs = f" --jobs {shlex.quote(metadata['jobs'])}" if "jobs" in metadata else ""
    return f"cifar-ray job submit {study} --sweep-id {sweep_id} --resume{store}{jobs}{flags}"


def resume_hint(metadata: Mapping[str, str], flags: str = "") -> str | None:
    """`resume_command` as a hint."""
    command = resume_command(metadata, flags)
    return f"continue with `{command}`" if command else None


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """A job as the cluster sees it."""

    submission_id: str
    state: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    message: str
    entrypoint: str
    started_at_ms: int | None
    metadata: dict[str, str]
    exit_code: int | None = None
    """Its command's; None before its end, and where the cluster ended it."""

    @property
    def is_ended(self) -> bool:
        """Whether the state is final."""
        return self.state in ENDED
