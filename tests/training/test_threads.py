"""How torch's threads wait for each other in the processes that train."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["cifar_ray.training.cohort", "cifar_ray.tuning.trainable"])
def test_they_spin_for_a_moment(module: str) -> None:
    """Said by torch's own OpenMP as it is loaded: a variable that is set later has no effect."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-W", "ignore", "-c", f"import {module}"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env=environ | {"OMP_DISPLAY_ENV": "VERBOSE"}
    )
    assert "GOMP_SPINCOUNT = '1000'" in done.stderr
