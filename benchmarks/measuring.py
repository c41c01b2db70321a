"""Interleaved readings, and the figures and targets by which they are judged."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self


class Readings:
    """Series of readings, one per round. A series is named `section/side`."""

    def __init__(self, on_reading: Callable[[str, float], None] = lambda series, value: None) -> None:
        self.series: dict[str, list[float]] = {}
        self._on_reading = on_reading

    def note(self, series: str, value: float) -> None:
        """Add a reading and call `on_reading`."""
        self.series.setdefault(series, []).append(value)
        self._on_reading(series, value)

    def last(self, series: str) -> float:
        """The newest reading of a series."""
        return self.series[series][-1]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median and range of several readings."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Of at least one reading."""
        return cls(median=statistics.median(values), low=min(values), high=max(values))


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a figure has to reach."""

    kind: Literal["at least", "at most"]
    value: float

    def is_met(self, value: float) -> bool:
        """Whether `value` reaches it."""
        return value >= self.value if self.kind == "at least" else value <= self.value


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A line of the report: a series of ours, usually beside an opponent's."""

    name: str
    ours: str
    """A series."""
    unit: str
    opponents: tuple[str, ...] = ()
    """Series in the same unit; the one with the lowest median counts."""
    ratio: Literal["opponent / ours", "ours / opponent"] = "opponent / ours"
    """How many times faster we are, or what share of the opponent's figure we take or reach."""
    target: Target | None = None
    """For the ratio, or for our own value where there is no opponent."""

    @property
    def section(self) -> str:
        """The section that measures it."""
        return self.ours.partition("/")[0]

    def is_met(self, measured: Spread) -> bool | None:
        """Whether the median reaches the target; None where there is no target."""
        return None if self.target is None else self.target.is_met(measured.median)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A figure as it was measured."""

    figure: Figure
    ours: Spread
    opponent: Spread | None = None
    opponent_series: str | None = None
    ratio: Spread | None = None
    """Of the ratios within each round, whose readings were taken one after the other."""
    num_rounds: int
    is_met: bool | None
    """None where there is no target."""


def interleave(readings: Readings, sides: Mapping[str, Callable[[], float]], num_rounds: int) -> None:
    """Take a reading of each side in turn, round by round, so that changes in the machine's speed affect all."""
    for _ in range(num_rounds):
        for series, measure in sides.items():
            readings.note(series, measure())


def judge(figure: Figure, series: Mapping[str, Sequence[float]]) -> Verdict | None:
    """The figure's verdict; None where one of its sides has no reading."""
    ours = series.get(figure.ours)
    measured = [name for name in figure.opponents if series.get(name)]
    if not ours or (figure.opponents and not measured):
        return None
    if not measured:
        spread = Spread.of(ours)
        return Verdict(figure=figure, ours=spread, num_rounds=len(ours), is_met=figure.is_met(spread))
    # in all the rounds that there were: the opponent of one of them is only tried out
    most = max(len(series[name]) for name in measured)
    whole = [name for name in measured if len(series[name]) == most]
    opponent = min(whole, key=lambda name: statistics.median(series[name]))
    pairs = list(zip(ours, series[opponent], strict=False))  # an interrupted round has one side alone
    is_speed_up = figure.ratio == "opponent / ours"
    ratio = Spread.of([theirs / mine if is_speed_up else mine / theirs for mine, theirs in pairs])
    return Verdict(
        figure=figure,
        ours=Spread.of([mine for mine, _ in pairs]),
        opponent=Spread.of([theirs for _, theirs in pairs]),
        opponent_series=opponent,
        ratio=ratio,
        num_rounds=len(pairs),
        is_met=figure.is_met(ratio),
    )
