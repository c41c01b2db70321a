"""Reads what an hour of an accelerator costs from the user's own table: none is built in, since prices change."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_ray.errors import ConfigurationError

MARKETS = ("on_demand", "spot")
_HINT = 'it holds `currency = "USD"` and tables such as `[A100]` with `on_demand = 3.5` and `spot = 1.2`, an hour'


@dataclass(frozen=True, kw_only=True)
class Prices:
    """The price of an hour of each device."""

    currency: str
    rates: Mapping[tuple[str, str], float]
    """By type of accelerator, as Ray names it (`CPU`: a core), and market."""

    def rate(self, accelerator: str, market: str) -> float | None:
        """The price of an hour; None where the table has no such row."""
        return self.rates.get((accelerator, market))


def read_prices(path: Path) -> Prices:
    """The table in a TOML file; ConfigurationError, which names the key, where it is not one."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"CIFAR_RAY_PRICES: {path} cannot be read: {error.strerror}", "correct CIFAR_RAY_PRICES, or unset it"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"prices {path}: {error}", _HINT) from error
    currency = table.pop("currency", None)
    if not isinstance(currency, str) or not (0 < len(currency) <= 8 and currency.isalpha()):
        raise ConfigurationError(f"prices {path}: currency is {currency!r}", _HINT)
    rates = {
        (accelerator, market): _rate(path, accelerator, market, rate)
        for accelerator, row in table.items()
        for market, rate in _row(path, accelerator, row).items()
    }
    if not rates:
        raise ConfigurationError(f"prices {path}: there is no price in it", _HINT)
    return Prices(currency=currency, rates=rates)


def _row(path: Path, accelerator: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ConfigurationError(f"prices {path}: {accelerator} is {row!r}", _HINT)
    if unknown := sorted(set(row) - set(MARKETS)):
        raise ConfigurationError(f"prices {path}: {accelerator}.{unknown[0]} is no market", _HINT)
    return row


def _rate(path: Path, accelerator: str, market: str, rate: Any) -> float:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not (0 <= rate < math.inf):
        raise ConfigurationError(f"prices {path}: {accelerator}.{market} is {rate!r}", _HINT)
    return float(rate)
