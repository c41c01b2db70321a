"""Makes all requests to the Kubernetes API: gets JSON and turns failures into our errors."""

from __future__ import annotations

import json
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from cifar_ray.cluster.on_kubernetes.proxy import find_proxy, tunnel_options
from cifar_ray.errors import ClusterError, ConfigurationError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from kubernetes.client import Configuration
    from websocket import WebSocket

Json = dict[str, Any]

TIMEOUT_S = 10.0
PAGE_SIZE = 500
LIST_ATTEMPTS = 3
TUNNEL_PROTOCOL = "v4.channel.k8s.io"


def at(document: Any, *path: str) -> Any:
    """The value at that path of nested objects; None where any part of the path is missing."""
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def objects(document: Any, *path: str) -> list[Json]:
    """The objects in the list at that path; none where there is no such list."""
    found = at(document, *path)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


class KubernetesApi:
    """The API of one cluster, reached by the settings of a kubeconfig's context."""

    def __init__(self, configuration: Configuration, namespace: str) -> None:
        import urllib3  # noqa: PLC0415 - comes with the kubernetes client
        from kubernetes.client.rest import RESTClientObject  # noqa: PLC0415 - takes half a second to load

        if not configuration.verify_ssl:
            # the kubeconfig asks for it, and two lines before every answer say nothing new
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self.namespace = namespace
        self.url: str = configuration.host.rstrip("/")
        self._configuration = configuration
        self._proxy = find_proxy(configuration)
        if self._proxy and not self._proxy.is_socks:
            configuration.proxy_headers = configuration.proxy_headers or self._proxy.headers()
        self._pool = RESTClientObject(configuration).pool_manager

    def get(self, *path: str, **query: str) -> Json:
        """The object at that path.

        RefusedError where it is missing or forbidden, ClusterError where the credentials are not accepted,
        UnreachableError where no valid Kubernetes answer comes in time.
        """
        import urllib3  # noqa: PLC0415 - comes with the kubernetes client

        url = self._url(path, query)
        try:
            response = self._pool.request(
                "GET", url, headers=self._headers(), timeout=urllib3.Timeout(total=TIMEOUT_S), retries=False
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        if response.status != 200:
            raise self._refusal(response.status, response.data)
        document = _parsed(response.data)
        if document is None:
            raise self._unreachable("the answer is not JSON as Kubernetes sends it")
        return document

    def list_all(self, *path: str, labels: str = "", fields: str = "") -> list[Json]:
        """All objects at that path that match the selectors; errors as for `get`."""
        query = {"limit": str(PAGE_SIZE)}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        for attempt in range(LIST_ATTEMPTS):
            try:
                return self._pages(path, query)
            except RefusedError as error:
                # the list has changed too much since its first page: start over
                if error.status != HTTPStatus.GONE or attempt == LIST_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def open_tunnel(self, namespace: str, pod: str, port: int) -> WebSocket:
        """A websocket to that port of the pod, which speaks TUNNEL_PROTOCOL.

        Errors as for `get`, and ClusterError where the proxy is none that it can go through.
        """
        # both come with the kubernetes client; the error is python-socks', where that is installed
        import websocket  # noqa: PLC0415
        from websocket._http import ProxyError  # type: ignore[attr-defined]  # noqa: PLC0415

        options = tunnel_options(self._proxy)
        path = ("api", "v1", "namespaces", namespace, "pods", pod, "portforward")
        url = self._url(path, {"ports": str(port)})
        tunnel = websocket.WebSocket(sslopt=self._tls_options())
        try:
            tunnel.connect(
                "ws" + url.removeprefix("http"),
                timeout=TIMEOUT_S,
                header=[f"{name}: {value}" for name, value in self._headers().items()],
                subprotocols=[TUNNEL_PROTOCOL],
                suppress_origin=True,
                http_proxy_timeout=TIMEOUT_S,
                **options,
            )
        except websocket.WebSocketBadStatusException as error:
            raise self._refusal(error.status_code, error.resp_body or b"") from error
        except (websocket.WebSocketException, ProxyError, OSError) as error:
            raise self._unreachable(error) from error
        return tunnel

    def _pages(self, path: tuple[str, ...], query: dict[str, str]) -> list[Json]:
        found: list[Json] = []
        token = ""
        while True:
            page = self.get(*path, **query, **({"continue": token} if token else {}))
            if not isinstance(page.get("items"), list):
                raise self._unreachable("the answer is no list of Kubernetes objects")
            found += objects(page, "items")
            token = str(at(page, "metadata", "continue") or "")
            if not token:
                return found

    def _url(self, path: tuple[str, ...], query: dict[str, str]) -> str:
        url = "/".join([self.url, *(quote(part, safe="") for part in path)])
        return f"{url}?{urlencode(query)}" if query else url

    def _headers(self) -> dict[str, str]:
        """The credentials, renewed by the kubeconfig's plugin where they have expired."""
        bearer = at(self._configuration.auth_settings(), "BearerToken", "value")
        return {"authorization": str(bearer)} if bearer else {}

    def _tls_options(self) -> dict[str, Any]:
        given = self._configuration
        options = {
            "ca_certs": given.ssl_ca_cert,
            "certfile": given.cert_file,
            "keyfile": given.key_file,
            "server_hostname": given.tls_server_name,
        }
        required = ssl.CERT_REQUIRED if given.verify_ssl else ssl.CERT_NONE
        return {"cert_reqs": required} | {name: value for name, value in options.items() if value}

    def _refusal(self, status: int, body: bytes) -> ClusterError:
        said = str(at(_parsed(body), "message") or "").strip()
        if status == HTTPStatus.UNAUTHORIZED or (status == HTTPStatus.FORBIDDEN and "system:anonymous" in said):
            return ClusterError(
                f"Kubernetes at {self.url} does not accept your credentials",
                "log in again, until `kubectl get pods` answers; or take another --context",
            )
        if status == HTTPStatus.FORBIDDEN:
            return RefusedError(said or "forbidden", "ask the cluster's administrator for that right", status=status)
        if 400 <= status < 500 and status != 429:
            return RefusedError(said or f"Kubernetes at {self.url} answers {status}", status=status)
        return self._unreachable(said or f"it answers {status}")

    def _unreachable(self, reason: object) -> UnreachableError:
        return UnreachableError(
            f"no usable answer from Kubernetes at {self.url}: {reason}",
            "check the network, VPN and proxy, and the context's server: `kubectl cluster-info`",
        )


def open_api(context: str | None = None, namespace: str | None = None) -> KubernetesApi:
    """The API of the kubeconfig's `context` (default: its current one); no request is made yet.

    ConfigurationError where there is no such kubeconfig or context, it is damaged, or its proxy cannot be used.
    """
    # takes half a second to load, and only requests to Kubernetes need it
    import yaml  # noqa: PLC0415
    from kubernetes import client, config  # noqa: PLC0415
    from kubernetes.config import kube_config  # noqa: PLC0415

    configuration = client.Configuration()
    try:
        merged = kube_config.KubeConfigMerger(kube_config.KUBE_CONFIG_DEFAULT_LOCATION).config
        if merged is None:
            raise config.ConfigException("there is none")
        # not load_kube_config, which does not tell the namespace; to ask for that needs a valid current context
        loader = kube_config.KubeConfigLoader(merged, active_context=context, config_base_path=None)
        loader.load_and_set(configuration)
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        which = f"context {context!r} of the kubeconfig" if context else "the kubeconfig"
        raise ConfigurationError(
            f"{which} cannot be used: {error}",
            "set KUBECONFIG to your cluster's file; `kubectl config get-contexts` lists the contexts",
        ) from error
    return KubernetesApi(configuration, namespace or at(loader.current_context, "context", "namespace") or "default")


def _parsed(body: bytes | str) -> Json | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
