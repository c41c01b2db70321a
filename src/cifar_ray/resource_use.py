"""Records of the accelerators or cores that a sweep has held, and of what that cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cifar_ray.json_record import Amount, Record

Device = Literal["accelerator", "core"]
"""What is counted: accelerators, or cores where a sweep uses none."""


@dataclass(frozen=True, kw_only=True)
class ResourceUse(Record):
    """What a sweep has held so far, in seconds of accelerators, or of cores where it uses none."""

    held_s: Amount = 0.0
    """By trials or cohorts, whether they trained or not."""
    repeated_s: Amount = 0.0
    """For epochs that were trained again because a process or a node was lost."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """From a node's address to its accelerator and market, such as `A100 spot`."""


@dataclass(frozen=True, kw_only=True)
class Cost(Record):
    """What a sweep held, and where that went. Seconds are those of accelerators, or of cores where it used none."""

    device: Device
    held_s: Amount
    """By trials or cohorts: the sum of all below."""
    useful_s: Amount
    """Epochs, each once, of trials that did not fail."""
    failed_s: Amount
    """Epochs of trials that failed."""
    repeated_s: Amount
    """Epochs that were trained again because a process or a node was lost."""
    price: float | None = None
    """For all that was held; None where no price table was given, or it lacks a row."""
    currency: str | None = None
    remark: str | None = None
    """Why there is no price, though there is a table."""

    @property
    def idle_s(self) -> float:
        """Held without an epoch to show for it: starts, restarts, epochs cut off, uploads, waiting for others."""
        return max(0.0, self.held_s - self.useful_s - self.failed_s - self.repeated_s)
