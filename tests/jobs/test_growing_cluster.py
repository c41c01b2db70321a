"""A sweep on a cluster that has no workers when it starts: real nodes come, work, and go."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from job_commands import Result, run

from cifar_ray.capacity import ACCELERATOR, NodeKind
from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster import dashboard_api, local
from cifar_ray.cluster.autoscaling import IDLE_TIMEOUT_MINUTES, LocalPool
from cifar_ray.cluster.credentials import read_token
from cifar_ray.errors import CapacityError

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.chaos,
    pytest.mark.fault("nodes come and go"),
    pytest.mark.timeout(500),
]

WORKERS = LocalPool(min_nodes=0, max_nodes=2, num_cpus=1, num_gpus=1)


def _nodes(cluster: local.LocalCluster) -> list[NodeKind]:
    return dashboard_api.living_nodes(cluster.dashboard_url, read_token(Path(cluster.token_path)))


def _num_gpus(cluster: local.LocalCluster) -> float:
    return sum(node.resources.get(ACCELERATOR, 0) for node in _nodes(cluster))


def _submit(cluster: local.LocalCluster, *arguments: str) -> tuple[str, float]:
    """What the command said, and the most accelerators that the cluster had meanwhile."""
    command = [Path(sys.executable).with_name("cifar-ray"), "job", "submit", *arguments]
    most = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as job:
        deadline = time.monotonic() + 300
        while job.poll() is None and time.monotonic() < deadline:
            most = max(most, _num_gpus(cluster))
            time.sleep(0.5)
        assert job.stdout is not None
        said = job.communicate(timeout=10)[0]
    assert job.returncode == 0, said
    return said, most


def _check_what_no_worker_can_ever_hold_is_refused(growing: local.LocalCluster) -> None:
    """Before it is submitted."""
    command = [Path(sys.executable).with_name("cifar-ray"), "job", "submit", "resnet", "--cpus-per-trial", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == CapacityError.exit_code
    assert "no node can hold one trial, which asks for 2 CPU, 1 GPU (nodes: 127.0.0.1: 0 CPU, 0 GPU; worker: " in (
        done.stderr
    )
    assert "worker: 1 CPU, 1 GPU" in done.stderr
    assert done.stdout == ""
    assert run("job", "list") == Result(0, "")
    assert len(_nodes(growing)) == 1


def test_nodes_come_for_trials_that_fit_and_go_when_they_have_ended(home: Path) -> None:
    growing = local.up(local.LocalClusterOptions(home=home, workers=(WORKERS,)))
    assert len(_nodes(growing)) == 1
    assert _num_gpus(growing) == 0
    _check_what_no_worker_can_ever_hold_is_refused(growing)

    small = ("--trials", "3", "--max-epochs", "2", "--data", "shapes:400", "--sweep-id", "alone")
    said, most = _submit(growing, "cnn", *small, "--no-cohort", "--accelerators-per-trial", "1")
    # all that the pool can hold, whatever waits
    assert "3 trials of cnn, at most 2 epochs, 2 at once" in said
    assert most == WORKERS.max_nodes

    deadline = time.monotonic() + 60 * IDLE_TIMEOUT_MINUTES + 60
    while len(_nodes(growing)) > 1:
        assert time.monotonic() < deadline, "the workers stay"
        time.sleep(1)
    result = connect_runs(None).result("alone")
    assert result is not None
    assert sum(result.outcomes.values()) == 3
