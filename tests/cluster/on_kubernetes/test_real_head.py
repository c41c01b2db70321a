"""The way through Kubernetes' port-forward to a real Ray head."""

import subprocess
import sys
from pathlib import Path

import pytest
from fake_kubernetes import FakeKubernetes
from recorded import CLUSTERS, HEAD, TEAM, secret

from cifar_ray.cluster import local
from cifar_ray.cluster.on_kubernetes.api import open_api
from cifar_ray.cluster.on_kubernetes.head_checks import check_head
from cifar_ray.cluster.on_kubernetes.release import find_release
from cifar_ray.errors import CapacityError

pytestmark = pytest.mark.cluster


@pytest.fixture
def tunnelled(kubernetes: FakeKubernetes, shared_cluster: local.LocalCluster) -> None:
    token = Path(shared_cluster.token_path).read_text()
    kubernetes.objects[f"{TEAM}/secrets/sweeps-cifar-ray"] = secret("x", auth_token=token)
    kubernetes.tunnels[HEAD] = int(shared_cluster.dashboard_url.rpartition(":")[2])


@pytest.mark.usefixtures("tunnelled")
def test_the_doctor_reads_a_real_head() -> None:
    found = {finding.checked: finding for finding in check_head(find_release(open_api(), "sweeps"))}
    assert {name: str(finding.severity) for name, finding in found.items()} == dict.fromkeys(
        ("dashboard", "Ray's token", "Ray's version", "Python's version"), "ok"
    )


@pytest.mark.usefixtures("tunnelled")
def test_a_job_is_submitted_watched_and_read_through_the_forward(tmp_path: Path) -> None:
    """A job that refuses its data at once: what counts is the way there and back."""

    def job(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cifar_ray.cli.main", "job", *arguments, "--release", "sweeps"]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    submitted = job("submit", "cnn", "--sweep-id", "through", "--data", "/no-such-data", "--storage", str(tmp_path))
    assert submitted.returncode == 1, submitted.stderr
    assert "no-such-data" in submitted.stderr
    assert "through FAILED" in " ".join(job("status", "through").stdout.split())
    assert "no-such-data" in job("logs", "through").stdout
    assert "through " in job("list").stdout


@pytest.mark.usefixtures("tunnelled")
def test_what_no_pool_of_the_release_can_hold_is_refused_before_it_is_submitted(kubernetes: FakeKubernetes) -> None:
    cluster = kubernetes.objects[CLUSTERS][0]
    (head,) = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    head["env"].append({"name": "CIFAR_RAY_POOLS", "value": "a100:max=4,cpu=4,gpu=1"})
    command = [sys.executable, "-m", "cifar_ray.cli.main", "job", "submit", "resnet", "--release", "sweeps"]
    demand = ("--cpus-per-trial", "5")
    done = subprocess.run([*command, *demand], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == CapacityError.exit_code, done.stderr
    assert "no node can hold one trial, which asks for 5 CPU, 1 GPU" in done.stderr
    assert "a100: 4 CPU, 1 GPU" in done.stderr
    assert "submitted" not in done.stdout
