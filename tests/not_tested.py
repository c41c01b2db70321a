"""Says at the end of a run which tests were skipped, by reason: without helm or a browser, whole folders are."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """After all else, as one line a reason: pytest's own summary has one a test, hundreds without helm."""
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = Counter(each.longrepr[2].removeprefix("Skipped: ") for each in skipped)
    if reasons:
        terminalreporter.section("NOT TESTED", yellow=True, bold=True)
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"{number} skipped: {reason}", yellow=True)
