"""The commands of the jobs' tests, as a person gives them, and what must hold of a sweep that has ended."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cifar_ray.storage.runs import RunStore

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]


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


def check_books(runs: RunStore, sweep_id: str, num_trials: int) -> None:
    """Every trial one outcome, every (trial, epoch) one line, every best epoch a whole checkpoint."""
    trials, metrics, result = runs.trials(sweep_id), runs.metrics(sweep_id), runs.result(sweep_id)
    assert result is not None
    assert len(trials) == num_trials == sum(result.outcomes.values())
    assert all(trial.outcome in ("completed", "stopped") for trial in trials)
    expected = {(trial.trial_id, epoch) for trial in trials for epoch in range(1, trial.num_epochs + 1)}
    assert len(metrics) == len(expected)
    assert {(line.trial_id, line.epoch) for line in metrics} == expected
    keys = runs.objects.keys(sweep_id)
    for trial in trials:
        assert f"{sweep_id}/trials/{trial.trial_id}/checkpoints/epoch-{trial.best_epoch:04d}/manifest.json" in keys
        best = max(line.validation_accuracy for line in metrics if line.trial_id == trial.trial_id)
        assert trial.best_validation_accuracy == best
    assert result.winner is not None
    assert result.winner.trial_id == result.ranking[0]
    assert result.winner.best_validation_accuracy == max(line.validation_accuracy for line in metrics)
