"""Reads and prints Kubernetes' quantities: `500m`, `32Gi`, `1e3`."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]))?")
_BINARY = {f"{letter}i": Decimal(2) ** (10 * power) for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {letter: Decimal(10) ** (3 * power) for power, letter in enumerate("kMGTPE", 1)}
_SMALL = {"m": Decimal(10) ** -3, "u": Decimal(10) ** -6, "n": Decimal(10) ** -9}
_FACTORS = _BINARY | _DECIMAL | _SMALL
_GIB = 2**30


def quantity(text: object) -> Decimal:
    """The number that `text` stands for; 0 where it is none, as for a resource that is not there."""
    match = _QUANTITY.fullmatch(str(text).strip())
    if match is None:
        return Decimal(0)
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _FACTORS.get(suffix or "", Decimal(1))


def spelled(resource: str, amount: Decimal) -> str:
    """An amount as people read it: `0.5 cpu`, `32 GiB memory`, `1 nvidia.com/gpu`."""
    if resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-"):
        return f"{float(amount) / _GIB:.3g} GiB {resource}"
    return f"{float(amount):g} {resource}"
