"""The table of `make chaos`, of a run in two halves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import fault_table
import pytest


class Terminal:
    """What a plugin writes to."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def section(self, title: str) -> None:
        self.lines.append(title)

    write_line = section


def report(fault: str, outcome: str, **properties: object) -> pytest.TestReport:
    given = [("fault", fault), *((name, value) for name, value in properties.items())]
    return pytest.TestReport("x", ("x", 1, "x"), {}, outcome, None, "call", user_properties=given)  # type: ignore[arg-type]


def run(before: Path | None, *reports: pytest.TestReport) -> dict[str, str]:
    """One half; the lines of its table by fault."""
    table, terminal = fault_table.FaultTable(before), Terminal()
    for each in reports:
        table.pytest_runtest_logreport(each)
    table.pytest_terminal_summary(terminal)  # type: ignore[arg-type]
    rows = terminal.lines[2:-1]
    return {line[:30].strip(): " ".join(line[30:].split()) for line in rows}


def test_the_second_half_goes_on_from_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = tmp_path / "out" / "chaos.json"
    monkeypatch.setattr(fault_table, "FIGURES", figures)
    first = run(
        None,
        report("two drivers", "passed", injected=2, objects=3),
        report("a disk is full", "passed", seconds_lost=1.5),
        report("the clock jumps", "failed"),
    )
    assert first["a trial fills the memory"] == "open 0/0 0 - 0"
    rows = run(
        figures,
        report("a trial fills the memory", "passed"),
        report("a disk is full", "passed", seconds_lost=0.5, objects=4),
    )
    assert rows["two drivers"] == "held 1/1 2 - 3"
    assert rows["a disk is full"] == "held 2/2 2 1.5 4"
    assert rows["the clock jumps"] == "BROKEN 0/1 1 - 0"
    assert rows["a trial fills the memory"] == "held 1/1 1 - 0"
    written = {row["fault"]: row["state"] for row in json.loads(figures.read_text())["faults"]}
    assert list(written) == list(fault_table.FAULTS)
    assert written["the clock jumps"] == "BROKEN"


def test_without_a_first_half_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_table, "FIGURES", tmp_path / "chaos.json")
    assert run(tmp_path / "chaos.json")["two drivers"] == "open 0/0 0 - 0"


def test_every_test_of_a_fault_has_a_row() -> None:
    """Only `make chaos` would say that it has none."""
    named = {
        name
        for path in Path(__file__).parent.rglob("test_*.py")
        for name in re.findall(r'pytest\.mark\.fault\("([^"]+)"\)', path.read_text())
    }
    assert named == set(fault_table.FAULTS)
