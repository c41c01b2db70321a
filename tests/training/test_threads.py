"""How torch's threads wait for each other in the processes that train."""

import os
import subprocess
import sys

import pytest

# a trial's imports come first in it: without an assignment it ends at the next line
BY_ITSELF = """
from contextlib import suppress
from cifar_ray.tuning.trainable import TrialPlan, run_trial
with suppress(KeyError):
    run_trial({}, data=None, plan=TrialPlan(sweep_id="cnn-1", storage="/none", data_seed=0, cpus_per_trial=1))
"""


@pytest.mark.parametrize("code", ["import cifar_ray.training.cohort", BY_ITSELF])
def test_they_spin_for_a_moment(code: str) -> None:
    """Said by torch's own OpenMP as it is loaded: a variable that is set later has no effect."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env=environ | {"OMP_DISPLAY_ENV": "VERBOSE"}
    )
    assert "GOMP_SPINCOUNT = '1000'" in done.stderr
