"""Asks each part of the one-machine cluster whether it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cifar_ray.capacity import NodeKind
from cifar_ray.cluster import dashboard_api, s3_server
from cifar_ray.cluster.credentials import read_s3_keys, read_token
from cifar_ray.cluster.state import LocalCluster, find
from cifar_ray.errors import ClusterError


@dataclass(frozen=True, kw_only=True)
class PartHealth:
    """Whether one server answers its own clients."""

    name: str
    url: str
    problem: str | None = None
    """None where it answers."""


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """How the cluster of a home stands."""

    cluster: LocalCluster | None = None
    """None where it does not run."""
    parts: tuple[PartHealth, ...] = ()
    nodes: tuple[NodeKind, ...] | None = None
    """Those that live; None where the dashboard does not tell."""

    @property
    def is_healthy(self) -> bool:
        """Whether it runs and every part answers."""
        return self.cluster is not None and all(part.problem is None for part in self.parts)


def status(home: Path) -> ClusterStatus:
    """How the cluster of `home`, or what is left of it, stands, asked with its own token and keys."""
    cluster = find(home, is_whole=False)
    if cluster is None:
        return ClusterStatus()
    nodes = None
    jobs_problem = s3_problem = None
    try:
        token = read_token(Path(cluster.token_path))
        dashboard_api.running_jobs(cluster.dashboard_url, token)
        nodes = tuple(dashboard_api.living_nodes(cluster.dashboard_url, token))
    except ClusterError as error:
        jobs_problem = error.message
    try:
        s3_server.check(cluster.s3_endpoint_url, read_s3_keys(Path(cluster.credentials_path)))
    except ClusterError as error:
        s3_problem = error.message
    parts = (
        PartHealth(name="Jobs API", url=cluster.dashboard_url, problem=jobs_problem),
        PartHealth(name="S3", url=cluster.s3_endpoint_url, problem=s3_problem),
    )
    return ClusterStatus(cluster=cluster, parts=parts, nodes=nodes)
