"""What a job and its processes find once it has connected."""

import io
import sys

import pytest
import ray
from ray_scripts import run_script

from cifar_ray.tuning.connecting import connect

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


@pytest.mark.cluster
@pytest.mark.slow
def test_a_process_without_a_share_of_an_accelerator_sees_none() -> None:
    """Ray, by itself, lets it have all that its node has: it would train there unasked."""
    said = run_script(SCRIPT, RAY_ADDRESS="local", CUDA_VISIBLE_DEVICES="0,1")
    assert said.splitlines()[-1] == "seen: ''"


def test_a_job_prints_in_any_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    monkeypatch.setattr(ray, "init", lambda **options: None)
    connect()
    print("no figure: –", flush=True)
    assert written.getvalue() == b"no figure: ?\n"
