"""The chart on a real cluster: `KUBECONFIG=… CIFAR_RAY_TEST_HELM_ARGS="--set image.repository=…" pytest -m cluster`.

The cluster needs the KubeRay operator and an image that its nodes can pull; the arguments name the image.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CHART = Path(__file__).parents[3] / "helm" / "cifar-ray"
RELEASE = "e2e"
INSTALL_DEADLINE_S = 900
JOB_DEADLINE_S = 1200

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(5 * JOB_DEADLINE_S + 2 * INSTALL_DEADLINE_S)]


@pytest.fixture
def namespace(pytestconfig: pytest.Config) -> Iterator[str]:
    """A namespace of its own on the cluster that KUBECONFIG names, removed with all that is in it."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    if "cluster" not in str(pytestconfig.getoption("markexpr")):
        pytest.skip("installs things on KUBECONFIG's cluster: ask for it with `pytest -m cluster`")
    if not (shutil.which("helm") and shutil.which("kubectl")):
        pytest.skip("helm and kubectl are not on PATH")
    name = f"cifar-ray-e2e-{secrets.token_hex(3)}"
    try:
        yield name
    finally:
        subprocess.run(["helm", "uninstall", RELEASE, "--namespace", name, "--wait"], timeout=300, check=False)
        subprocess.run(["kubectl", "delete", "namespace", name, "--timeout=300s"], timeout=330, check=False)


def cifar_ray(*arguments: str, namespace: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cifar_ray.cli.main", *arguments, "--release", RELEASE, "--namespace", namespace]
    return subprocess.run(command, capture_output=True, text=True, timeout=JOB_DEADLINE_S, check=False)


def test_install_submit_evaluate_upgrade_uninstall(namespace: str) -> None:
    given = shlex.split(os.environ.get("CIFAR_RAY_TEST_HELM_ARGS", ""))
    install = ["helm", "install", RELEASE, str(CHART), "--namespace", namespace, "--create-namespace"]
    version = subprocess.run(
        ["helm", "version", "--template", "{{.Version}}"], capture_output=True, text=True, check=True
    )
    if not version.stdout.startswith("v3."):
        # else the autoscaler's numbers of workers are a conflict in the upgrade (docs/kubernetes.md)
        install.append("--server-side=false")
    subprocess.run([*install, "--set", "objectStore.embedded.enabled=true", *given], timeout=300, check=True)

    deadline = time.monotonic() + INSTALL_DEADLINE_S
    while (found := cifar_ray("cluster", "doctor", namespace=namespace)).returncode:
        status = cifar_ray("cluster", "status", namespace=namespace).stdout
        assert time.monotonic() < deadline, f"{found.stdout}\n{status}"
        time.sleep(10)

    checks = ["helm", "test", RELEASE, "--namespace", namespace, "--logs"]
    subprocess.run(checks, timeout=INSTALL_DEADLINE_S, check=True)

    small = ("--trials", "2", "--max-epochs", "1", "--data", "shapes")
    swept = cifar_ray("job", "submit", "cnn", *small, "--sweep-id", "e2e", namespace=namespace)
    assert swept.returncode == 0, swept.stdout + swept.stderr
    evaluated = cifar_ray("job", "submit", "evaluate", "e2e", namespace=namespace)
    assert evaluated.returncode == 0, evaluated.stdout + evaluated.stderr
    assert "evaluate" in cifar_ray("job", "list", namespace=namespace).stdout

    studies = {"cnn": {"enabled": True, "args": small}, "evaluate": {"enabled": True}}
    upgrade = ["helm", "upgrade", RELEASE, str(CHART), "--namespace", namespace, "--reuse-values"]
    subprocess.run([*upgrade, "--set-json", f"studies={json.dumps(studies)}"], timeout=300, check=True)
    for study in studies:
        job = f"rayjob/{RELEASE}-cifar-ray-{study}"
        wait = ["kubectl", "wait", job, "--namespace", namespace, f"--timeout={JOB_DEADLINE_S}s"]
        done = subprocess.run([*wait, "--for=jsonpath={.status.jobStatus}=SUCCEEDED"], check=False)
        assert done.returncode == 0, cifar_ray("cluster", "status", namespace=namespace).stdout
