"""What the processes of a job find in their environment, under real Ray."""

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SCRIPT = """
import os

import ray
from cifar_ray.tuning.connecting import connect

@ray.remote(num_cpus=0)
def see():
    return os.environ.get("CUDA_VISIBLE_DEVICES")

connect()
print("seen:", repr(ray.get(see.remote())))
"""


def test_a_process_without_a_share_of_an_accelerator_sees_none() -> None:
    """Ray, by itself, lets it have all that its node has: it would train there unasked."""
    environ = os.environ | {
        "RAY_ADDRESS": "local",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "CUDA_VISIBLE_DEVICES": "0,1",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False, env=environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "seen: ''"
