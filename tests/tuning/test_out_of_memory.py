"""A trial that fills its node's memory, under the real Ray Tune and Ray's own memory monitor."""

import re
from pathlib import Path

import pytest
from ray_scripts import run_script

# whatever else fills the machine's memory meanwhile would end its processes
pytestmark = [
    pytest.mark.slow,
    pytest.mark.chaos,
    pytest.mark.alone,
    pytest.mark.fault("a trial fills the memory"),
]

MARGIN_BYTES = 3 << 30
SWEEP = """
import os, sys, time

import ray
from ray import tune
from cifar_ray.tuning.pass_asha import PassASHA

def train(config):
    memory = []
    for epoch in (1, 2):
        tune.report({"epoch": epoch, "accuracy": 0.1})
        while config["grows"]:
            memory.append(os.urandom(1 << 26))

ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR",
         _system_config={"memory_usage_threshold": float(sys.argv[2]), "memory_monitor_refresh_ms": 100})
results = tune.Tuner(
    train,
    param_space={"trial_id": "t0000", "grows": tune.grid_search([True, False])},
    tune_config=tune.TuneConfig(scheduler=PassASHA(time_attr="epoch", max_t=2), metric="accuracy", mode="max"),
    run_config=tune.RunConfig(storage_path=sys.argv[1], verbose=0),
).fit()
print("failed:", [result.config["grows"] for result in results if result.error], flush=True)
"""


def test_only_that_trial_fails(tmp_path: Path) -> None:
    total, available = (
        1024 * int(re.search(rf"{name}:\s+(\d+)", Path("/proc/meminfo").read_text())[1])  # type: ignore[index]
        for name in ("MemTotal", "MemAvailable")
    )
    threshold = (total - available + MARGIN_BYTES) / total
    assert "failed: [True]" in run_script(SWEEP, str(tmp_path), f"{threshold:.3f}", timeout_s=200)
