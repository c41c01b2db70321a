"""Opens the dashboard of a release's head pod on a loopback port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cifar_ray.cluster import dashboard_api
from cifar_ray.cluster.on_kubernetes.port_forward import PortForward
from cifar_ray.cluster.on_kubernetes.release import Release
from cifar_ray.errors import UnreachableError


@dataclass(frozen=True, kw_only=True)
class HeadAccess:
    """Where the dashboard answers, and the token that it asks for."""

    url: str
    token: str | None = field(repr=False)
    """None where the release works without one."""

    def environment(self, token_path: Path) -> dict[str, str]:
        """What other programs need to reach it: the address and, where there is a token, the path to it."""
        variables = {"RAY_API_SERVER_ADDRESS": self.url, "RAY_USAGE_STATS_ENABLED": "0"}
        if self.token is None:
            return variables
        return variables | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_path)}


@contextmanager
def reach_head(release: Release, port: int = 0) -> Iterator[HeadAccess]:
    """Forward a loopback port (0: a free one) to the dashboard for as long as the context lasts.

    Raises whatever keeps it from being reached: no ready head pod, no right to forward ports, a refused token.
    """
    token = release.token()
    release.head_pod()
    with PortForward(release.open_tunnel, port) as forward:
        try:
            dashboard_api.versions(forward.url, token)
        except UnreachableError as error:
            if forward.problem is not None:
                raise forward.problem from error
            raise UnreachableError(
                f"the dashboard of release {release.name!r} does not answer as it should: {error.message}",
                f"see `kubectl logs --namespace {release.namespace} {release.head_pod()}`",
            ) from error
        yield HeadAccess(url=forward.url, token=token)
