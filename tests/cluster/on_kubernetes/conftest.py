"""A Kubernetes API and a Ray head that all is well with; tests break one thing each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
def use_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a file the kubeconfig: the client reads KUBECONFIG only once, as it loads."""
    from kubernetes.config import kube_config  # noqa: PLC0415

    def use(path: Path) -> None:
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        monkeypatch.setenv("KUBECONFIG", str(path))

    return use


@pytest.fixture
def kubernetes(
    dashboard: FakeDashboard, tmp_path: Path, use_kubeconfig: Callable[[Path], None]
) -> Iterator[FakeKubernetes]:
    with FakeKubernetes().serving() as fake:
        fill(fake)
        fake.tunnels[HEAD] = dashboard.port
        use_kubeconfig(fake.write_kubeconfig(tmp_path / "kubeconfig"))
        yield fake


@pytest.fixture
def api(kubernetes: FakeKubernetes) -> KubernetesApi:
    return open_api()
