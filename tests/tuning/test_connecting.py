"""What the processes of a job find in their environment, under real Ray."""

import pytest
from ray_scripts import run_script

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
    said = run_script(SCRIPT, RAY_ADDRESS="local", CUDA_VISIBLE_DEVICES="0,1")
    assert said.splitlines()[-1] == "seen: ''"
