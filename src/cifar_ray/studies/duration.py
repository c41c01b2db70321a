"""Reads a length of time as people write it: `90s`, `30m`, `2h`, `1d12h`."""

from __future__ import annotations

import re

from cifar_ray.errors import ConfigurationError

_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,9}}(?:\.[0-9]{{1,3}})?){unit})?" for unit in _SECONDS))


def read_duration(name: str, text: str) -> float:
    """Seconds, above 0; ConfigurationError, which names `name`, where `text` is no length of time."""
    match = _DURATION.fullmatch(text)
    seconds = sum(float(match[unit] or 0) * length for unit, length in _SECONDS.items()) if match else 0.0
    if seconds <= 0:
        raise ConfigurationError(f"{name}: {text!r} is no length of time", "write 90s, 30m, 2h or 1d12h")
    return seconds
