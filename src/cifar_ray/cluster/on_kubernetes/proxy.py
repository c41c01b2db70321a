"""Says through which proxy the Kubernetes API is reached: one way for requests and tunnels."""

from __future__ import annotations

import importlib.util
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from cifar_ray.errors import ClusterError, ConfigurationError

if TYPE_CHECKING:
    from kubernetes.client import Configuration

_PORTS = {"http": 80, "https": 443} | dict.fromkeys(("socks4", "socks4a", "socks5", "socks5h"), 1080)
"""Where a proxy's URL names no port, by its scheme: what urllib3 takes."""
_HINT = "name an http:// proxy (proxy-url in the kubeconfig, else HTTPS_PROXY), or add the API's host to NO_PROXY"


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy between here and the API."""

    scheme: str
    host: str
    port: int
    user: str
    """Empty: it asks for none."""
    password: str = field(repr=False)

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, which urllib3 and websocket-client each need a package of its own for."""
        return self.scheme.startswith("socks")

    def headers(self) -> dict[str, str]:
        """What tells an HTTP proxy who asks; urllib3 does not take it from the URL."""
        if not self.user:
            return {}
        return {"proxy-authorization": f"Basic {b64encode(f'{self.user}:{self.password}'.encode()).decode()}"}


def find_proxy(configuration: Configuration) -> Proxy | None:
    """The proxy of the kubeconfig or the environment; None where there is none, or NO_PROXY excepts the API.

    ConfigurationError where requests cannot go through it.
    """
    # takes half a second to load
    from kubernetes.client.rest import should_bypass_proxies  # noqa: PLC0415

    url = configuration.proxy
    if not url or should_bypass_proxies(configuration.host, configuration.no_proxy or ""):
        return None
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in _PORTS or not host:
        raise ConfigurationError("the URL of the proxy to Kubernetes is malformed, or its scheme unknown", _HINT)
    proxy = Proxy(
        scheme=scheme,
        host=host,
        port=port or _PORTS[scheme],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
    if proxy.is_socks and not importlib.util.find_spec("socks"):
        raise ConfigurationError(
            f"the {scheme}:// proxy to Kubernetes needs PySocks", f"pip install PySocks; or {_HINT}"
        )
    return proxy


def tunnel_options(proxy: Proxy | None) -> dict[str, Any]:
    """What makes websocket-client take that way; ClusterError where it cannot.

    It is always given a proxy and the hosts that need none: otherwise it reads the environment, by rules of its own.
    """
    if proxy is None:
        return {"http_proxy_host": "none", "http_no_proxy": ["*"]}
    if proxy.scheme == "https" or (proxy.is_socks and not importlib.util.find_spec("python_socks")):
        needed = "; or pip install python-socks" if proxy.is_socks else ""
        raise ClusterError(f"no port can be forwarded through the {proxy.scheme}:// proxy", f"{_HINT}{needed}")
    return {
        "http_proxy_host": proxy.host,
        "http_proxy_port": proxy.port,
        "http_proxy_auth": (proxy.user, proxy.password) if proxy.user else None,
        "http_no_proxy": ["-"],  # no host's name
        "proxy_type": proxy.scheme,
    }
