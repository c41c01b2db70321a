"""Hands a sweep's epochs to experiment trackers: always to TensorBoard's files, to MLflow and W&B if configured."""

from __future__ import annotations

import importlib.util
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import TRAINING_ITERATION

from cifar_ray.errors import ConfigurationError, StorageError, first_line, without_user
from cifar_ray.records import EpochMetrics, SweepRecord
from cifar_ray.settings import Settings, read_settings
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.epoch_report import from_result
from cifar_ray.tuning.signals import Stopping

CLOSE_DEADLINE_S, HURRIED_DEADLINE_S = 60.0, 3.0
"""Seconds for the trackers to take what is left when the sweep has ended, and when it was told to stop."""


def check_trackers(settings: Settings) -> None:
    """Raise ConfigurationError where the environment enables a tracker whose package is not installed here."""
    for name, variable, is_on in (
        ("mlflow", "MLFLOW_TRACKING_URI", settings.mlflow_experiment),
        ("wandb", "WANDB_API_KEY or WANDB_MODE", settings.wandb_project),
    ):
        if is_on and importlib.util.find_spec(name) is None:
            raise ConfigurationError(
                f"{variable} is set where the sweep runs, but {name} is not installed there",
                f"pip install 'cifar-ray[{name}]', or unset it",
            )


@dataclass(frozen=True)
class TrackedTrial:
    """A copy, for another thread, of what Ray Tune's callbacks read of a trial. Compared by its id."""

    trial_id: str
    """Unique across sweeps, also those of one id, and the same in all of a sweep's drivers."""
    name: str = field(compare=False)
    config: dict[str, Any] = field(compare=False)
    local_path: str = field(compare=False)
    """Ray Tune's folder for it, on the driver's node."""

    @property
    def evaluated_params(self) -> dict[str, Any]:
        """The settings, as TensorBoard's table of them has it."""
        return self.config

    def __str__(self) -> str:
        return self.name


class Trackers(Callback):
    """Ray Tune's callback in the driver, which passes everything on to the trackers' own.

    Each tracker works in a thread of its own: a slow one delays no trial, and one that fails is reported in the log and
    dropped, while the sweep continues. Each driver chooses them from its own environment, and Ray Tune's pickled state,
    which includes this object, contains none of their state.
    """

    def __init__(self, runs: RunStore, sweep: SweepRecord, say: Callable[[str], None], stopping: Stopping) -> None:
        self._runs = runs
        self._sweep = sweep
        self._say = say
        self._stopping = stopping

    def setup(self, *args: Any, **info: Any) -> None:
        """Ray Tune calls this in each of the sweep's drivers."""
        self._seen: dict[str, int] = {}
        self._feeds = [_Feed(name, make, self._say) for name, make in self._chosen(read_settings()).items()]

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial got its resources, for the first time or again."""
        self._feed("log_trial_start", self._tracked(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial finished an epoch; those that a restarted trial repeats are not passed on again."""
        line = from_result(result)
        if line.epoch > self._seen.get(line.trial_id, 0):
            self._seen[line.trial_id] = line.epoch
            self._feed("log_trial_result", line.epoch, self._tracked(trial), to_values(line))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial ended without an error."""
        self._feed("log_trial_end", self._tracked(trial), False)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial failed for good."""
        self._feed("log_trial_end", self._tracked(trial), True)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """The sweep ended, or was interrupted: let the trackers take what is left."""
        seconds = HURRIED_DEADLINE_S if self._stopping.is_told else CLOSE_DEADLINE_S
        deadline = time.monotonic() + seconds
        for feed in self._feeds:
            feed.end()
        for feed in self._feeds:
            if not feed.join(deadline):
                self._say(f"{feed.name} has not taken the last epochs within {seconds:g} s")
        if trials and read_settings().wandb_project:
            self._keep_offline_runs(Path(trials[0].local_path).parent)

    def _keep_offline_runs(self, folder: Path) -> None:
        """Copy W&B's offline runs to the store; they are in the trials' folders, on the driver's node."""
        objects = self._runs.objects.hurried() if self._stopping.is_told else self._runs.objects
        try:
            for path in folder.glob("*/wandb/offline-run-*/**/*"):
                if path.is_file():
                    trial, _, *parts = path.relative_to(folder).parts
                    key = layout.offline_run(self._sweep.sweep_id, trial, "/".join(parts))
                    objects.write(key, path.read_bytes())
        except (OSError, StorageError) as error:
            self._say(f"Weights & Biases' offline runs have not all been copied to the store: {_one_line(error)}")

    def _chosen(self, settings: Settings) -> dict[str, Callable[[], Any]]:
        """A factory for each tracker, called in its own thread, since the packages are slow to load."""
        chosen: dict[str, Callable[[], Any]] = {"TensorBoard": self._event_files}
        if settings.mlflow_experiment:
            chosen["MLflow"] = partial(self._mlflow_runs, settings.mlflow_experiment)
        if settings.wandb_project:
            chosen["Weights & Biases"] = partial(self._wandb_runs, settings.wandb_project)
        return chosen

    def _event_files(self) -> Any:
        from cifar_ray.tuning.event_files import EventFiles  # noqa: PLC0415  # loads tensorboardX

        return EventFiles(self._runs, self._sweep.sweep_id)

    def _mlflow_runs(self, experiment: str) -> Any:
        from cifar_ray.tuning.mlflow_runs import MLflowRuns  # noqa: PLC0415  # loads mlflow, an extra

        return MLflowRuns(self._sweep, experiment)

    def _wandb_runs(self, project: str) -> Any:
        from cifar_ray.tuning.wandb_runs import WandbRuns  # noqa: PLC0415  # loads wandb, an extra

        return WandbRuns(self._sweep, project)

    def _tracked(self, trial: Trial) -> TrackedTrial:
        name = trial.config["trial_id"]
        started = "".join(filter(str.isdigit, self._sweep.started_at))
        return TrackedTrial(
            trial_id=f"{self._sweep.sweep_id}-{name}-{started}",
            name=name,
            config=dict(trial.config["settings"]),
            local_path=str(trial.local_path),
        )

    def _feed(self, method: str, *arguments: Any) -> None:
        for feed in self._feeds:
            feed.put(method, *arguments)


def to_values(line: EpochMetrics) -> dict[str, float]:
    """The numbers of an epoch, without those that are not finite, and its step under Ray Tune's name."""
    values = {name: value for name, value in asdict(line).items() if isinstance(value, int | float) and name != "epoch"}
    return {TRAINING_ITERATION: line.epoch, **values}


class _Feed:
    """One tracker in a thread of its own, fed by a queue."""

    def __init__(self, name: str, make: Callable[[], Any], say: Callable[[str], None]) -> None:
        self.name, self._make, self._say = name, make, say
        self._calls: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        # a daemon: a server that does not answer must not keep the driver from ending
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def put(self, method: str, *arguments: Any) -> None:
        """Have the tracker's method called, unless it has failed."""
        if self._thread.is_alive():
            self._calls.put((method, arguments))

    def end(self) -> None:
        """Tell the tracker that nothing more will come."""
        self._calls.put(None)

    def join(self, deadline: float) -> bool:
        """Wait until it has taken everything, or until `deadline`, by the monotonic clock; returns whether it has."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            tracker = self._make()
            tracker.setup()
            while call := self._calls.get():
                method, arguments = call
                getattr(tracker, method)(*arguments)
            tracker.on_experiment_end(trials=[])
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the tracker's, and reported
            self._say(f"{self.name} gets nothing more, the sweep goes on: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    """Without the name and password that a URL may hold."""
    return f"{type(error).__name__}: {without_user(first_line(error))[:300]}"
