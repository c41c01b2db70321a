"""Numbers and names as tables print them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cifar_ray.records import DatasetRecord

MISSING = "–"


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as per cent, without the sign."""
    return MISSING if fraction is None else f"{100 * fraction:.{digits}f}"


def seconds(duration_s: float) -> str:
    """`7 s`, `3 min 07 s` or `2 h 05 min`."""
    whole = round(duration_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def setting(name: str, config: Mapping[str, Any]) -> str:
    """A setting of a trial; MISSING where it has none or does not use it."""
    is_unused = name == "momentum" and config.get("optimizer") != "sgd"
    is_of_resnet = name in ("depth", "stem")
    is_of_classic = name in ("batch_norm", "xavier")
    model = config.get("model")
    if is_unused or (is_of_resnet and model == "classic_cnn") or (is_of_classic and model == "resnet"):
        return MISSING
    value = config.get(name)
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def caution(dataset: DatasetRecord) -> str | None:
    """What a reader must know who compares with the report; None for the official archive."""
    if dataset.source == "cifar10":
        return None
    if "airplane" not in dataset.classes:
        return f"data: {dataset.name}, which is not CIFAR-10. Nothing here compares with the report."
    return (
        f"data: {dataset.name}, read from a copy and not from the official archive; a lossy copy scores lower. "
        "Compare with the report with care."
    )
