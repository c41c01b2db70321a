"""Distributed ASHA sweeps of CNNs on CIFAR-10 with Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_ray.reporting.frames import SweepFrames, load_sweep

__all__ = ["SweepFrames", "load_sweep"]


def __getattr__(name: str) -> Any:
    """The exports, loaded when they are first used: pandas takes most of a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cifar_ray.reporting import frames  # noqa: PLC0415

    return getattr(frames, name)
