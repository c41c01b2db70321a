"""TensorBoard's event files, in the store: one for each trial."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.tune.logger import TBXLoggerCallback

from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore

UPLOAD_PERIOD_S = 30.0
"""Seconds between two uploads of a file: each is of the whole file, so not after every epoch."""


class EventFiles(TBXLoggerCallback):
    """Ray Tune's logger, which writes to a temporary folder, from which whole files are uploaded to the store.

    A trial that another driver resumes repeats its epochs, so the new file holds everything that the old one did, and
    replaces it.
    """

    def __init__(self, runs: RunStore, sweep_id: str) -> None:
        with _without_torch():
            super().__init__()
        self._runs, self._sweep_id = runs, sweep_id
        self._folder = tempfile.TemporaryDirectory(prefix="cifar-ray-tensorboard-")
        self._uploaded: dict[str, float] = {}

    def log_trial_start(self, trial: Any) -> None:
        """Open its file, unless it is open."""
        if trial not in self._trial_writer:
            self._trial_writer[trial] = self._summary_writer_cls(str(self._path(trial)), flush_secs=30)
            self._trial_result[trial] = {}

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Write an epoch."""
        super().log_trial_result(iteration, trial, result)
        if time.monotonic() - self._uploaded.get(str(trial), 0.0) >= UPLOAD_PERIOD_S:
            self._upload(trial)

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """Write the settings beside the last epoch's numbers, and close the file."""
        super().log_trial_end(trial, failed)
        self._upload(trial)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Upload the files that are still open: the sweep was interrupted."""
        for trial in list(self._trial_writer):
            self._trial_writer[trial].close()
            self._upload(trial)
        self._folder.cleanup()

    def _path(self, trial: Any) -> Path:
        return Path(self._folder.name, str(trial))

    def _upload(self, trial: Any) -> None:
        self._uploaded[str(trial)] = time.monotonic()
        for path in self._path(trial).glob("*tfevents*"):
            self._runs.objects.write(layout.event_file(self._sweep_id, str(trial)), path.read_bytes())


@contextmanager
def _without_torch() -> Iterator[None]:
    """Hide it from tensorboardX, which does without: a driver trains nothing, and would hold 180 MB more for it."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]
