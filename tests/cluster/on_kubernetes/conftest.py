"""A Kubernetes API and a Ray head that all is well with; tests break one thing each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_kubernetes import FakeDashboard, FakeKubernetes
from recorded import HEAD, fill

from cifar_ray.cluster.on_kubernetes.api import KubernetesApi, open_api


@pytest.fixture
def dashboard() -> Iterator[FakeDashboard]:
    with FakeDashboard().serving() as serving:
        yield serving


@pytest.fixture
def kubernetes(dashboard: FakeDashboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    with FakeKubernetes().serving() as fake:
        fill(fake)
        fake.tunnels[HEAD] = dashboard.port
        config = fake.write_kubeconfig(tmp_path / "kubeconfig")
        # the client reads KUBECONFIG once, as it loads
        from kubernetes.config import kube_config  # noqa: PLC0415

        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(config))
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield fake


@pytest.fixture
def api(kubernetes: FakeKubernetes) -> KubernetesApi:
    return open_api()
