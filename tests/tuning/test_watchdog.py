"""Trials that hang, under the real Ray Tune: their processes are stopped, and can end no call by themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = """
import os, signal, sys
from pathlib import Path

import ray
from ray import tune
from cifar_ray.tuning import watchdog

watchdog.PERIOD_S, watchdog.LEAST_DEADLINE_S, watchdog.HANG_FACTOR, watchdog.IDLE_DEADLINE_S = 0.5, 4.0, 1, 2.0
folder = Path(sys.argv[1])

def train(config):
    for epoch in (1, 2):
        if epoch == 2 and len(list(folder.glob(f"{config['times']}-*"))) < config["times"]:
            (folder / f"{config['times']}-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        tune.report({"epoch": epoch})

ray.init(address="local", num_cpus=1, num_gpus=2, include_dashboard=False, logging_level="ERROR")
results = tune.Tuner(
    tune.with_resources(train, {"cpu": 1, "gpu": 1}),
    param_space={"times": tune.grid_search([0, 1, 2])},
    tune_config=tune.TuneConfig(reuse_actors=True),
    run_config=tune.RunConfig(
        storage_path=str(folder / "tune"),
        verbose=0,
        failure_config=tune.FailureConfig(max_failures=1),
        callbacks=[watchdog.Watchdog(lambda line: print(line, flush=True), ends_trials=True)],
    ),
).fit()
print("failed:", sum(result.error is not None for result in results), flush=True)
"""


@pytest.mark.fault("a trial hangs")
@pytest.mark.slow
@pytest.mark.chaos
def test_a_trial_that_hangs_is_ended_and_tried_again(tmp_path: Path) -> None:
    environ = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    command = [sys.executable, "-c", SWEEP, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("hangs: no epoch for") == 3
    assert "failed: 1" in done.stdout, "the one that hangs again"
    assert "1 of 2 accelerators have been idle for" in done.stdout
    hung = [path.name.partition("-")[2] for path in tmp_path.glob("[12]-*")]
    assert len(hung) == 3
    assert not [process for process in hung if Path("/proc", process).exists()], "left behind"
