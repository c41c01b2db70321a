"""What a table shows where it does not fit."""

import io

import pytest
from rich.console import Console

from cifar_ray.reporting.fitting_table import FittingTable, narrow_table


def show(width: int, num_kept: int = 1) -> list[str]:
    table = narrow_table("name", "two words", "number")
    table.add_row("a", "one and two", "0.00066")
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(FittingTable(table, num_kept, "the file"))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_table_that_fits_is_as_wide_as_it_is() -> None:
    assert show(200) == show(24) == ["name two words   number", "─" * 24, "a    one and two 0.00066"]


@pytest.mark.parametrize("width", [18, 20, 23])
def test_words_go_to_the_next_line_first(width: int) -> None:
    lines = show(width)
    assert max(map(len, lines)) <= width
    assert any(line.endswith("0.00066") for line in lines)
    assert not any("left out" in line for line in lines)


def test_then_the_last_columns_go() -> None:
    assert " ".join(show(17)).endswith("columns left out: 1; the file has them")
    assert show(17)[2] == "a    one and two"
    assert not any("0.0" in line for line in show(17))
    assert show(9)[2] == "a"


def test_those_that_are_kept_stay_however_narrow_it_is() -> None:
    assert "".join(show(10, num_kept=3)).count("left out") == 0
