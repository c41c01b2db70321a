"""Shows a job while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from cifar_ray.reporting.terminal import progress_renderable
from cifar_ray.submission.waiting import Observation

PLAIN_PERIOD_S = 10.0


class LiveView:
    """A context manager whose `observe` takes what waiting sees."""

    def __init__(self, console: Console, job: str) -> None:
        self._console = console
        self._job = job
        self._live = Live(console=console, refresh_per_second=4, transient=False) if console.is_terminal else None
        self._said_at = 0.0
        self._state = ""

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def observe(self, seen: Observation) -> None:
        """Print new log lines; renew the table, or print a line of progress now and then."""
        for line in seen.new_lines:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        if self._live is not None:
            self._live.update(progress_renderable(seen.progress, state=seen.state, job=self._job))
            return
        now = time.monotonic()
        if seen.state != self._state or now - self._said_at >= PLAIN_PERIOD_S:
            self._state, self._said_at = seen.state, now
            said = seen.progress.to_line() if seen.progress else ""
            text = f"{self._job} {seen.state} {said}".rstrip()
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
