"""The forwarder against a websocket server of another library, with and without TLS."""

import gc
import socket
import ssl
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fake_kubernetes import DEADLINE_S, RAY_TOKEN, FakeDashboard, FakeKubernetes, refusal
from recorded import HEAD, TEAM

from cifar_ray.cluster.certificate import certificate
from cifar_ray.cluster.on_kubernetes.api import KubernetesApi, open_api
from cifar_ray.cluster.on_kubernetes.port_forward import PortForward
from cifar_ray.errors import ClusterError


def get(url: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, data=body, method="PUT" if body is not None else "GET")
    request.add_header("Authorization", f"Bearer {RAY_TOKEN}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=DEADLINE_S) as response:
        data: bytes = response.read()
        return data


@pytest.fixture
def forward(api: KubernetesApi) -> Iterator[PortForward]:
    with PortForward(lambda: api.open_tunnel("team", HEAD, 8265)) as opened:
        yield opened


def test_answers_arrive_whole_though_the_pod_closes_at_once(forward: PortForward, dashboard: FakeDashboard) -> None:
    assert get(f"{forward.url}/big") == dashboard.big


def test_uploads_arrive_whole(forward: PortForward) -> None:
    assert get(f"{forward.url}/upload", b"y" * 5_000_000) == b"5000000"


def test_connections_do_not_hinder_each_other(forward: PortForward, dashboard: FakeDashboard) -> None:
    idle = socket.create_connection(("127.0.0.1", int(forward.url.rpartition(":")[2])))
    with idle, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(get, [f"{forward.url}/big"] * 8))
    assert all(answer == dashboard.big for answer in answers)


def test_listens_on_loopback_alone(forward: PortForward) -> None:
    assert forward._server.server_address[0] == "127.0.0.1"


def test_the_next_connection_finds_a_new_pod(
    forward: PortForward, kubernetes: FakeKubernetes, dashboard: FakeDashboard
) -> None:
    assert get(f"{forward.url}/big")
    kubernetes.tunnels.clear()
    with pytest.raises(OSError):  # noqa: PT011 - closed, or reset
        get(f"{forward.url}/big")
    assert forward.problem is not None
    assert "not found" in forward.problem.message
    kubernetes.tunnels[HEAD] = dashboard.port
    assert get(f"{forward.url}/big") == dashboard.big
    assert forward.problem is None


def test_says_why_the_pod_is_not_reached(forward: PortForward, kubernetes: FakeKubernetes) -> None:
    kubernetes.tunnels[HEAD] = 9
    with pytest.raises(OSError):  # noqa: PT011 - closed, or reset
        get(forward.url)
    assert "connection refused" in str(forward.problem)
    kubernetes.answers[f"{TEAM}/pods/{HEAD}/portforward"] = lambda _: refusal(
        403, "Forbidden", 'cannot create resource "pods/portforward"'
    )
    with pytest.raises(OSError):  # noqa: PT011 - closed, or reset
        get(forward.url)
    assert 'cannot create resource "pods/portforward"' in str(forward.problem)


def check_conversation(forward: PortForward, kubernetes: FakeKubernetes) -> None:
    """Short words both ways over a connection that stays; then the client's end reaches the pod."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(DEADLINE_S)
        kubernetes.tunnels[HEAD] = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", int(forward.url.rpartition(":")[2])), DEADLINE_S)
        pod, _ = listener.accept()
        pod.settimeout(DEADLINE_S)
        with client, pod:
            for word in (b"one", b"two", b"six"):
                client.sendall(word)
                assert pod.recv(3) == word
                pod.sendall(word[::-1])
                assert client.recv(1) + client.recv(2) == word[::-1]
            client.shutdown(socket.SHUT_RDWR)
            assert pod.recv(3) == b""


def test_a_connection_that_stays(forward: PortForward, kubernetes: FakeKubernetes) -> None:
    check_conversation(forward, kubernetes)


def test_closing_ends_open_connections_and_the_listener(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    before = threading.active_count()
    deadline = time.monotonic() + DEADLINE_S
    with PortForward(lambda: api.open_tunnel("team", HEAD, 8265)) as opened:
        client = socket.create_connection(("127.0.0.1", int(opened.url.rpartition(":")[2])))
        client.settimeout(DEADLINE_S)
        while not kubernetes.num_tunnels and time.monotonic() < deadline:
            time.sleep(0.01)
    assert client.recv(1) == b""
    client.close()
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(opened.url.rpartition(":")[2])))


def test_a_port_that_is_taken(api: KubernetesApi, forward: PortForward) -> None:
    with pytest.raises(ClusterError, match="cannot be used"):
        PortForward(lambda: api.open_tunnel("team", HEAD, 8265), int(forward.url.rpartition(":")[2]))


def test_tunnels_through_tls_and_checks_the_servers_certificate(
    dashboard: FakeDashboard, tmp_path: Path, use_kubeconfig: Callable[[Path], None]
) -> None:
    pytest.importorskip("cryptography")
    (pem := tmp_path / "server.pem").write_text(certificate())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with FakeKubernetes(context).serving() as fake:
        fake.objects["/version"] = {"gitVersion": "v1.33.1"}
        fake.tunnels[HEAD] = dashboard.port
        known = fake.write_kubeconfig(tmp_path / "known", **{"certificate-authority": str(pem)})
        unknown = fake.write_kubeconfig(tmp_path / "unknown")
        use_kubeconfig(known)
        api = open_api()
        assert api.get("version")["gitVersion"] == "v1.33.1"
        with PortForward(lambda: api.open_tunnel("team", HEAD, 8265)) as forward:
            assert get(f"{forward.url}/big") == dashboard.big
            assert get(f"{forward.url}/upload", b"y" * 1_000_000) == b"1000000"
            check_conversation(forward, fake)
        use_kubeconfig(fake.write_kubeconfig(tmp_path / "trusting", **{"insecure-skip-tls-verify": True}))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert open_api().get("version")["gitVersion"] == "v1.33.1"
        use_kubeconfig(unknown)
        for ask in (lambda: open_api().get("version"), lambda: open_api().open_tunnel("team", HEAD, 8265)):
            with pytest.raises(ClusterError, match="CERTIFICATE_VERIFY_FAILED"):
                ask()
    with warnings.catch_warnings():
        # asyncio's server leaves a connection whose handshake failed to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
