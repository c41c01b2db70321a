"""Trials that hang, under the real Ray Tune: their processes are stopped, and can end no call by themselves."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import RpcError
from ray.tune.experiment import Trial
from ray_scripts import run_script

from cifar_ray.records import EpochMetrics
from cifar_ray.tuning import watchdog
from cifar_ray.tuning.epoch_report import to_result
from cifar_ray.tuning.watchdog import HANG_FACTOR, LEAST_DEADLINE_S, Watchdog

SWEEP = """
import os, signal, sys
from pathlib import Path

import ray
from ray import tune
from cifar_ray.records import EpochMetrics
from cifar_ray.tuning import watchdog
from cifar_ray.tuning.epoch_report import report_epoch

watchdog.PERIOD_S, watchdog.LEAST_DEADLINE_S, watchdog.HANG_FACTOR, watchdog.IDLE_DEADLINE_S = 0.5, 4.0, 1, 2.0
folder = Path(sys.argv[1])

def train(config):
    for epoch in (1, 2):
        if epoch == 2 and len(list(folder.glob(f"{config['times']}-*"))) < config["times"]:
            (folder / f"{config['times']}-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        report_epoch(EpochMetrics(trial_id="t0000", epoch=epoch, train_loss=1.0, train_accuracy=0.5, seconds=0.01,
                                  validation_loss=1.0, validation_accuracy=0.5, learning_rate=0.1))

ray.init(address="local", num_cpus=1, num_gpus=2, include_dashboard=False, logging_level="ERROR")
results = tune.Tuner(
    tune.with_resources(train, {"cpu": 1, "gpu": 1}),
    param_space={"times": tune.grid_search([0, 1, 2])},
    tune_config=tune.TuneConfig(reuse_actors=True),
    run_config=tune.RunConfig(
        storage_path=str(folder / "tune"),
        verbose=0,
        failure_config=tune.FailureConfig(max_failures=1),
        callbacks=[watchdog.Watchdog(lambda line: print(line, flush=True))],
    ),
).fit()
print("failed:", sum(result.error is not None for result in results), flush=True)
"""


@pytest.mark.fault("a trial hangs")
@pytest.mark.slow
@pytest.mark.chaos
def test_a_hanging_trial_is_killed_and_retried(tmp_path: Path) -> None:
    said = run_script(SWEEP, str(tmp_path), timeout_s=200)
    assert said.count("hangs: no epoch for") == 3
    assert "failed: 1" in said, "the one that hangs again"
    assert "1 of 2 accelerators have been idle for" in said
    hung = [path.name.partition("-")[2] for path in tmp_path.glob("[12]-*")]
    assert len(hung) == 3
    assert not [process for process in hung if Path("/proc", process).exists()], "left behind"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Goes on as it is told."""
    now = [1000.0]
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(ray, "cluster_resources", dict)
    monkeypatch.setattr(ray, "available_resources", dict)

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    return pass_time


@pytest.fixture
def running() -> Any:
    """A trial, as Ray Tune has it."""
    state = SimpleNamespace(ray_actor=object())
    return SimpleNamespace(trial_id="1", status=Trial.RUNNING, temporary_state=state, config={})


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The actors that were killed."""
    killed: list[object] = []
    monkeypatch.setattr(ray, "kill", killed.append)
    return killed


def test_repeated_epochs_do_not_shorten_the_deadline(
    clock: Callable[[float], None], epoch_metrics: list[EpochMetrics], running: Any, ended: list[object]
) -> None:
    dog, epoch_s, trial = Watchdog(print), LEAST_DEADLINE_S * 2, running
    dog.on_trial_start(0, [trial], trial)
    for line in epoch_metrics[:3]:
        clock(0.1)
        dog.on_trial_result(0, [trial], trial, to_result(replace(line, seconds=epoch_s)))
    clock(epoch_s)
    dog.on_step_end(0, [trial])
    assert not ended
    clock(epoch_s * HANG_FACTOR)
    dog.on_step_end(0, [trial])
    assert ended == [trial.temporary_state.ray_actor]


@pytest.mark.parametrize(("num_epochs", "deadline_s"), [(0, 7200.0), (3, 1200.0)])
def test_a_hanging_trial_has_two_hours_for_its_first_epoch_and_twenty_minutes_later(
    clock: Callable[[float], None],
    epoch_metrics: list[EpochMetrics],
    running: Any,
    ended: list[object],
    num_epochs: int,
    deadline_s: float,
) -> None:
    dog, trial = Watchdog(print), running
    dog.on_trial_start(0, [trial], trial)
    for line in epoch_metrics[:num_epochs]:
        clock(1.0)
        dog.on_trial_result(0, [trial], trial, to_result(replace(line, seconds=1.0)))
    clock(deadline_s - 1)
    dog.on_step_end(0, [trial])
    assert not ended
    clock(watchdog.PERIOD_S)
    dog.on_step_end(0, [trial])
    assert ended == [trial.temporary_state.ray_actor]


def test_a_head_that_does_not_answer_is_asked_again(
    clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def time_out(address: str) -> None:
        asked.append(address)
        raise RpcError("Deadline Exceeded")

    monkeypatch.setattr(watchdog, "get_cluster_status", time_out)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="head"))
    dog = Watchdog(print)
    for _ in range(20):
        clock(10.0)
        dog.on_step_end(0, [])
    assert len(asked) > 1


@pytest.mark.parametrize(("num_up", "is_waiting"), [(None, False), (1, False), (0, True)])
def test_a_trial_that_waits_for_an_engine_does_not_run(
    clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, num_up: int | None, is_waiting: bool
) -> None:
    said: list[str] = []
    monkeypatch.setattr(watchdog, "get_cluster_status", lambda address: watchdog.ClusterStatus())
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="head"))
    spread: list[tuple[int, int]] = []
    engines: Any = None
    if num_up is not None:
        engines = SimpleNamespace(num_up=lambda: num_up, spread=lambda *arguments: spread.append(arguments))
    dog = Watchdog(said.append, engines, num_slots=16)
    trials: Any = [
        SimpleNamespace(trial_id=str(index), status=status, is_finished=lambda has_ended=has_ended: has_ended)
        for index, (status, has_ended) in enumerate([(Trial.RUNNING, False), (Trial.PENDING, False), ("ended", True)])
    ]
    for _ in range(5):
        clock(10.0)
        dog.on_step_end(0, trials)
    assert any(line.startswith("waiting") for line in said) == is_waiting
    assert set(spread) == (set() if engines is None else {(2, 16)}), "of the trials that have not ended"
