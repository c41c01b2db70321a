"""Distributed ASHA sweeps of CNNs on CIFAR-10 with Ray."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_ray.evaluation.winner_model import WinnerModel, load_model
    from cifar_ray.reporting.frames import SweepFrames, load_sweep

__all__ = ["SweepFrames", "WinnerModel", "load_model", "load_sweep"]

__version__ = version("cifar-ray")

_ROOMS = dict.fromkeys(("SweepFrames", "load_sweep"), "cifar_ray.reporting.frames") | dict.fromkeys(
    ("WinnerModel", "load_model"), "cifar_ray.evaluation.winner_model"
)


def __getattr__(name: str) -> Any:
    """The exports, loaded when they are first used: pandas takes most of a second, torch more."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ROOMS[name]), name)
