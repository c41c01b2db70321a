"""The commands of the jobs' tests, as a person gives them, and what must hold of a sweep that has ended."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cifar_ray.errors import CifarRayError
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]

RecordProperty = Callable[[str, object], None]
"""pytest's, for the figures of `make chaos`."""


@dataclass(frozen=True)
class Result:
    exit_code: int
    output: str


def run(*arguments: str, program: str = "cifar-ray") -> Result:
    """In a process of its own, as a person does: Ray reads its token's variables when it is loaded."""
    done = subprocess.run(
        [BIN / program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=380,
        check=False,
    )
    return Result(done.returncode, done.stdout)


def submit(*arguments: str) -> str:
    result = run("job", "submit", *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def num_epochs(runs: RunStore, sweep_id: str) -> int:
    """As far as the driver has written them."""
    try:
        return len(runs.metrics(sweep_id))
    except CifarRayError:
        return 0


def wait_for(condition: Callable[[], bool], deadline_s: float = 180, *, job: str | None = None) -> None:
    """Where it does not come, the failure shows the state and the log of the `job` that should have brought it."""
    until = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > until:
            told = "" if job is None else run("job", "status", job).output + run("job", "logs", job).output
            raise AssertionError(f"not within {deadline_s} s\n{told}")
        time.sleep(0.5)


class Recovery:
    """Of a sweep, from a fault on: made as the fault is."""

    def __init__(self, runs: RunStore, sweep_id: str) -> None:
        self._num_epochs = lambda: num_epochs(runs, sweep_id)
        self._before, self._began = self._num_epochs(), time.monotonic()

    def seconds(self) -> float:
        """Until the next new epoch is in the store; waits for it."""
        wait_for(lambda: self._num_epochs() > self._before)
        return time.monotonic() - self._began


def check_books(runs: RunStore, sweep_id: str, num_trials: int) -> int:
    """Every trial one outcome, every (trial, epoch) one line, every best epoch a whole checkpoint, no orphans.

    Returns how many objects the sweep has, without its finals: those are a sweep of their own.
    """
    trials, metrics, result = runs.trials(sweep_id), runs.metrics(sweep_id), runs.result(sweep_id)
    assert result is not None
    assert len(trials) == num_trials == sum(result.outcomes.values())
    assert all(trial.outcome in ("completed", "stopped") for trial in trials)
    expected = {(trial.trial_id, epoch) for trial in trials for epoch in range(1, trial.num_epochs + 1)}
    assert len(metrics) == len(expected)
    assert {(line.trial_id, line.epoch) for line in metrics} == expected
    keys = [key for key in runs.objects.keys(sweep_id) if f"/{layout.finals(sweep_id)}/" not in key]
    for trial in trials:
        assert f"{sweep_id}/trials/{trial.trial_id}/checkpoints/epoch-{trial.best_epoch:04d}/manifest.json" in keys
        best = max(line.validation_accuracy for line in metrics if line.trial_id == trial.trial_id)
        assert trial.best_validation_accuracy == best
    assert result.winner is not None
    assert result.winner.trial_id == result.ranking[0]
    assert result.winner.best_validation_accuracy == max(line.validation_accuracy for line in metrics)
    checkpoints = {key.rpartition("/")[0] for key in keys if "/checkpoints/" in key}
    assert {key.rpartition("/")[0] for key in keys if key.endswith("/manifest.json")} == checkpoints, "without manifest"
    # the best and the two newest
    assert len(checkpoints) <= 3 * num_trials, sorted(checkpoints)
    assert layout.lease(sweep_id) not in keys
    return len(keys)
