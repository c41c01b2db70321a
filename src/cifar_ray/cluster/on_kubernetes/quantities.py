"""Reads and prints Kubernetes' quantities: `500m`, `32Gi`, `1e3`."""

from __future__ import annotations

from decimal import Decimal

_GIB = 2**30


def quantity(text: object) -> Decimal:
    """The number that `text` stands for; 0 where it is not a number, as for a missing resource."""
    from kubernetes.utils import parse_quantity  # noqa: PLC0415  # half a second that `--help` has no use for

    try:
        found: Decimal = parse_quantity(str(text).strip())
    except (ValueError, ArithmeticError):
        return Decimal(0)
    return found if found.is_finite() else Decimal(0)


def spelled(resource: str, amount: Decimal) -> str:
    """An amount as people read it: `0.5 cpu`, `32 GiB memory`, `1 nvidia.com/gpu`."""
    if resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-"):
        return f"{float(amount) / _GIB:.3g} GiB {resource}"
    return f"{float(amount):g} {resource}"
