"""A table that leaves out columns rather than break a number or a name across lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_UNBOUND = 100_000


@dataclass(frozen=True)
class FittingTable:
    """A `narrow_table` whose cells wrap only between words; if that is not enough, the last columns are left out."""

    table: Table
    num_kept: int
    """How many of the first columns are never left out."""
    elsewhere: str = "a wider terminal"
    """What shows all columns, for the line that counts those left out."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = self.table.columns
        spans = [_span(console, options, column) for column in columns]
        room = options.max_width + 1  # the last column has no divider
        number = len(columns)
        while number > self.num_kept and sum(span.minimum + 1 for span in spans[:number]) > room:
            number -= 1
        widths = _share(spans[:number], room - number)
        fitting = copy(self.table)
        fitting.columns = [replace(column, width=width) for column, width in zip(columns, widths, strict=False)]
        yield fitting
        if number < len(columns):
            yield Text(f"columns left out: {len(columns) - number}; {self.elsewhere} has them", style="dim")


def narrow_table(*headings: Column | str, numbers: Iterable[str] = ()) -> Table:
    """A table with a single blank, the box's own divider, between its columns; those of `numbers` come last."""
    right = [Column(heading, justify="right", no_wrap=True) for heading in numbers]
    return Table(*headings, *right, box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)


def _span(console: Console, options: ConsoleOptions, column: Column) -> Measurement:
    """The column's width: from its longest word to its longest line."""
    unbound = options.update(width=_UNBOUND)
    found = [Measurement.get(console, unbound, cell) for cell in (column.header, *column.cells)]
    most = max(each.maximum for each in found)
    return Measurement(most if column.no_wrap else max(each.minimum for each in found), most)


def _share(spans: Sequence[Measurement], room: int) -> list[int | None]:
    """A width for each column: the widest shrink first, none below its minimum. All None where they cannot fit."""
    if sum(span.minimum for span in spans) > room:
        return [None] * len(spans)
    widths = [span.maximum for span in spans]
    while sum(widths) > room:
        widest = max((i for i, span in enumerate(spans) if widths[i] > span.minimum), key=widths.__getitem__)
        widths[widest] -= 1
    return [*widths]
