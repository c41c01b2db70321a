"""Requests and tunnels take the same way, through a proxy that notes who comes and lets nobody pass."""

import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from fake_kubernetes import FakeKubernetes
from loopback_server import NotingServer, serving
from recorded import HEAD

from cifar_ray.cluster.on_kubernetes.api import KubernetesApi, open_api
from cifar_ray.cluster.on_kubernetes.port_forward import PortForward
from cifar_ray.cluster.on_kubernetes.proxy import Proxy, tunnel_options
from cifar_ray.errors import ClusterError, ConfigurationError, UnreachableError

Behind = Callable[[str], KubernetesApi]
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[NotingServer]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with serving(NotingServer()) as server:
        server.status = 502
        yield server


@pytest.fixture
def behind(kubernetes: FakeKubernetes, tmp_path: Path, use_kubeconfig: Callable[[Path], None]) -> Behind:
    """The API, by the name of localhost, behind the proxy of that URL."""

    def opened(url: str) -> KubernetesApi:
        kubernetes.url = kubernetes.url.replace("127.0.0.1", "localhost")
        use_kubeconfig(kubernetes.write_kubeconfig(tmp_path / "behind", **({"proxy-url": url} if url else {})))
        return open_api()

    return opened


def check_goes_through(proxy: NotingServer, api: KubernetesApi, user: str | None = None) -> None:
    for ask in (lambda: api.get("version"), lambda: api.open_tunnel("team", HEAD, 8265)):
        with pytest.raises(UnreachableError, match="502"):
            ask()
    assert [method for method, _ in proxy.asked] == ["GET", "CONNECT"]
    assert proxy.headers("Proxy-Authorization") == [user, user]


def check_goes_past(proxy: NotingServer, api: KubernetesApi) -> None:
    assert api.get("version")
    api.open_tunnel("team", HEAD, 8265).shutdown()
    assert proxy.asked == []


@pytest.mark.parametrize("spelling", ["", "x", "x, y", "ocalhost", ".ocalhost", "localhost:1", "127.0.0.1", " "])
def test_what_no_proxy_does_not_name_goes_through(
    spelling: str, proxy: NotingServer, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", spelling)
    check_goes_through(proxy, behind(proxy.url))


@pytest.mark.parametrize(
    "spelling", ["localhost", "x,localhost", "x, localhost", "LOCALHOST", ".localhost", "localhost:PORT", "*", "x, *"]
)
@pytest.mark.parametrize("is_variable", [False, True])
def test_what_no_proxy_names_goes_past(
    spelling: str,
    is_variable: bool,
    proxy: NotingServer,
    behind: Behind,
    kubernetes: FakeKubernetes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", spelling.replace("PORT", kubernetes.url.rpartition(":")[2]))
    if is_variable:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
    check_goes_past(proxy, behind("" if is_variable else proxy.url))


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_environments_proxy_is_that_of_the_urls_scheme(
    variable: str, proxy: NotingServer, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(variable, proxy.url)
    check_goes_through(proxy, behind(""))


def test_a_proxy_of_another_scheme_is_passed_by(
    proxy: NotingServer, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    check_goes_past(proxy, behind(""))


def test_the_proxy_is_told_who_asks(proxy: NotingServer, behind: Behind) -> None:
    # b64encode(b"me@home:p\xc3\xa4ss")
    check_goes_through(
        proxy, behind(f"http://me%40home:p%C3%A4ss@127.0.0.1:{proxy.server_port}"), "Basic bWVAaG9tZTpww6Rzcw=="
    )


def test_a_tunnel_that_no_proxy_takes_says_so(proxy: NotingServer, behind: Behind) -> None:
    api = behind(f"https://me:secret@127.0.0.1:{proxy.server_port}")
    with pytest.raises(ClusterError, match="forwarded through the https:// proxy") as caught:
        api.open_tunnel("team", HEAD, 8265)
    assert "NO_PROXY" in str(caught.value.hint)
    with PortForward(lambda: api.open_tunnel("team", HEAD, 8265)) as forward:
        with socket.create_connection(("127.0.0.1", int(forward.url.rpartition(":")[2])), 10) as client:
            assert client.recv(1) == b""
        assert "https:// proxy" in str(forward.problem)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://proxy:3128", "proxy:3128", "http://", "http://proxy:port", "http://[::1"])
def test_a_proxy_that_is_none_is_named(url: str, proxy: NotingServer, behind: Behind) -> None:
    with pytest.raises(ConfigurationError, match="proxy to Kubernetes") as caught:
        behind(url)
    assert "NO_PROXY" in str(caught.value.hint)


@pytest.mark.skipif(find_spec("socks") is not None, reason="PySocks is installed")
@pytest.mark.parametrize("scheme", ["socks4", "socks5", "socks5h", "SOCKS5"])
def test_a_socks_proxy_needs_a_package(scheme: str, proxy: NotingServer, behind: Behind) -> None:
    with pytest.raises(ConfigurationError, match="needs PySocks") as caught:
        behind(f"{scheme}://127.0.0.1:{proxy.server_port}")
    assert "pip install PySocks" in str(caught.value.hint)


@pytest.mark.skipif(find_spec("python_socks") is not None, reason="python-socks is installed")
def test_a_tunnel_through_socks_needs_another() -> None:
    proxy = Proxy(scheme="socks5", host="proxy", port=1080, user="", password="")
    with pytest.raises(ClusterError, match="through the socks5:// proxy") as caught:
        tunnel_options(proxy)
    assert "pip install python-socks" in str(caught.value.hint)
