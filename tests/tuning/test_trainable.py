"""A trial that trains by itself: what it is given, and its end under the real Ray Tune."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray_scripts import run_script

from cifar_ray.data.split import TrainingData
from cifar_ray.records import EpochMetrics
from cifar_ray.studies import get_study
from cifar_ray.tuning import patient_trainable, trainable
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.patient_trainable import STOP_DEADLINE_S, PatientTrainable
from cifar_ray.tuning.trainable import TrialPlan, run_trial

SWEEP_OF_ONE = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ray
from ray import tune
from cifar_ray.tuning.trainable import run_trial

def train(config):
    with ThreadPoolExecutor(1) as executor:
        try:
            while True:
                tune.report({"epoch": 1})
        finally:
            # a slow store has taken the checkpoint's first part; its last needs a thread that can still be had
            time.sleep(2)
            executor.submit(Path(config["arrived"]).touch).result()

train.__mixins__ = run_trial.__mixins__
ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR")
tune.Tuner(
    train,
    param_space={"arrived": f"{sys.argv[1]}/arrived"},
    tune_config=tune.TuneConfig(reuse_actors=True),
    run_config=tune.RunConfig(storage_path=f"{sys.argv[1]}/tune", stop={"epoch": 1}, verbose=0),
).fit()
"""


SWEEP_OF_TWO = """
import sys, time
from pathlib import Path

import ray
from ray import tune
from cifar_ray.tuning.trainable import run_trial

def train(config):
    try:
        while True:
            tune.report({"epoch": 1})
    finally:
        # longer than Ray Tune itself would wait before it gave up the next trial
        time.sleep(4)
        Path(f"{config['folder']}/{config['name']}").touch()

train.__mixins__ = run_trial.__mixins__
ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR")
found = tune.Tuner(
    train,
    param_space={"folder": sys.argv[1], "name": tune.grid_search(["first", "second"])},
    tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=1),
    run_config=tune.RunConfig(storage_path=f"{sys.argv[1]}/tune", stop={"epoch": 1}, verbose=0),
).fit()
assert not found.errors, found.errors
"""


@pytest.mark.slow
def test_a_process_is_reused_when_the_trial_before_has_uploaded(tmp_path: Path) -> None:
    run_script(SWEEP_OF_TWO, str(tmp_path))
    assert {"first", "second"} <= {path.name for path in tmp_path.iterdir()}


def test_a_process_whose_trial_does_not_end_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next trial is tried again in another: Ray Tune would drop it, without a word, if this one refused it."""
    session = SimpleNamespace(
        finish=lambda timeout: waited.append(timeout), training_thread=SimpleNamespace(is_alive=lambda: True)
    )
    waited: list[float] = []
    monkeypatch.setattr(patient_trainable, "get_session", lambda: session)

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(SystemExit):
        PatientTrainable.reset_config(object.__new__(PatientTrainable), {})
    assert waited == [STOP_DEADLINE_S]


@pytest.mark.fault("a sweep is told to stop")
@pytest.mark.slow
@pytest.mark.chaos
def test_the_last_trial_to_be_stopped_ends_after_its_uploads(tmp_path: Path) -> None:
    run_script(SWEEP_OF_ONE, str(tmp_path))
    assert (tmp_path / "arrived").exists()


def test_batches_follow_the_sweeps_seed_or_in_finals_each_trials_own(
    tmp_path: Path, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[EpochMetrics] = []
    monkeypatch.setattr(trainable, "report_epoch", lambda line, standings: heard.append(line))
    settings = get_study("cnn").with_budget(num_trials=1, max_epochs=1).sample(0)[0].to_dict()
    for index, (weights, batches) in enumerate(((5, 1), (5, 2), (5, 1), (5, None), (5, 5))):
        plan = TrialPlan(sweep_id="cnn-1", storage=str(tmp_path), data_seed=batches, cpus_per_trial=1.0)
        assignment = assign(f"t{index:04d}", {**settings, "seed": weights})
        run_trial(assignment, data=training_data, plan=plan)
    first, other, again, own, named = (line.train_loss for line in heard)
    assert first == again != other
    assert own == named != first


def test_an_epoch_is_reported_with_its_standing_unless_repeated(
    tmp_path: Path, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[int, int]] = []
    monkeypatch.setattr(trainable, "report_epoch", lambda line, told=(): heard.append((line.epoch, len(told))))
    settings = get_study("cnn").with_budget(num_trials=1, max_epochs=1).sample(0)[0].to_dict()
    plan = TrialPlan(sweep_id="cnn-1", storage=str(tmp_path), data_seed=1, cpus_per_trial=1.0)
    for _ in range(2):
        run_trial(assign("t0000", settings), data=training_data, plan=plan)
    assert heard == [(1, 1), (1, 0)]
