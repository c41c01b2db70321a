"""What `make chaos` prints and writes: each fault, how often it was injected, what it cost, what was checked.

A pytest plugin. Tests name their row by the marker `fault`, and give their figures with `record_property`:
`injected` (else 1), `seconds_lost`, `objects` (that were checked in the store). With `--faults-before FILE` the rows
go on from those of another run: of the tests that could share the machine, before those that want it alone.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

FIGURES = Path(__file__).parents[1] / "benchmarks" / "out" / "chaos.json"
FAULTS = (
    "a trial's process is killed",
    "all worker nodes die",
    "nodes come and go",
    "the driver is killed",
    "the head is killed",
    "two drivers",
    "the store is down for 60 s",
    "the store breaks calls",
    "the store is slow",
    "the store stays away",
    "the store refuses trials alone",
    "credentials expire",
    "a checkpoint is damaged",
    "a disk is full",
    "a trial fills the memory",
    "a trial's loss is not finite",
    "a trial hangs",
    "a sweep is told to stop",
    "the clock jumps",
    "1,000 trials, nodes die",
)


@dataclass
class Row:
    """What was seen of one fault."""

    fault: str
    tests: int = 0
    survived: int = 0
    """Tests that passed."""
    injected: int = 0
    seconds_lost: float | None = None
    """The most in one test: from the fault to the next new epoch in the store. None where no test measures it."""
    objects: int = 0

    @property
    def state(self) -> str:
        """open: no test was run."""
        return "open" if not self.tests else "held" if self.survived == self.tests else "BROKEN"


class FaultTable:
    """Collects the figures as tests end."""

    def __init__(self, before: Path | None) -> None:
        self._rows = {fault: Row(fault) for fault in FAULTS}
        self._seconds_before = 0
        if before is not None and before.exists():
            found = json.loads(before.read_text())
            self._seconds_before = int(found["seconds"])
            for values in found["faults"]:
                del values["state"]
                self._rows[values["fault"]] = Row(**values)
        self._began = time.monotonic()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if marker := item.get_closest_marker("fault"):
                (fault,) = marker.args
                if fault not in self._rows:
                    raise pytest.UsageError(f"{item.nodeid}: no fault is called {fault!r}")
                # which the report takes along, also out of another process
                item.user_properties.append(("fault", fault))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # a test that was skipped, or whose fixture broke, was not seen to hold
        is_outcome = report.when == "call" or (report.when == "setup" and report.failed)
        given = dict(report.user_properties)
        if not is_outcome or report.skipped or "fault" not in given:
            return
        row = self._rows[str(given["fault"])]
        row.tests += 1
        row.survived += report.passed
        row.injected += int(str(given.get("injected", 1)))
        row.objects += int(str(given.get("objects", 0)))
        if "seconds_lost" in given:
            row.seconds_lost = max(row.seconds_lost or 0.0, float(str(given["seconds_lost"])))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("faults")
        for line in self._lines():
            terminalreporter.write_line(line)
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        seconds = self._seconds_before + round(time.monotonic() - self._began)
        rows = [asdict(row) | {"state": row.state} for row in self._rows.values()]
        machine = {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
        FIGURES.write_text(json.dumps({"seconds": seconds, "machine": machine, "faults": rows}, indent=1) + "\n")
        terminalreporter.write_line(f"figures: {FIGURES}")

    def _lines(self) -> Iterator[str]:
        yield f"{'fault':30} {'state':7} {'survived':>9} {'injected':>9} {'s lost':>7} {'objects checked':>16}"
        for row in self._rows.values():
            lost = "-" if row.seconds_lost is None else f"{row.seconds_lost:.1f}"
            survived = f"{row.survived}/{row.tests}"
            yield f"{row.fault:30} {row.state:7} {survived:>9} {row.injected:9} {lost:>7} {row.objects:16}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-before", type=Path, help="chaos.json of the run that this one goes on from")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(FaultTable(config.getoption("--faults-before")))
