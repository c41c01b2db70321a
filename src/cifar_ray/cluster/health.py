"""Asks each part of the one-machine cluster whether it answers."""

from __future__ import annotations

from pathlib import Path

from cifar_ray.capacity import NodeKind
from cifar_ray.cluster import dashboard_api, s3_server
from cifar_ray.cluster.credentials import read_token
from cifar_ray.cluster.state import LocalCluster
from cifar_ray.errors import ClusterError


def examine(cluster: LocalCluster) -> tuple[dict[str, str | None], list[NodeKind] | None]:
    """Each part's problem, None where it answers to its own token or keys; and the living nodes, if Ray lists them."""
    problems: dict[str, str | None] = {"Jobs API": None, "S3": None}
    nodes = None
    try:
        token = read_token(Path(cluster.token_path))
        dashboard_api.running_jobs(cluster.dashboard_url, token)
        nodes = dashboard_api.living_nodes(cluster.dashboard_url, token)
    except ClusterError as error:
        problems["Jobs API"] = error.message
    try:
        s3_server.check(cluster.s3_endpoint_url, Path(cluster.credentials_path))
    except ClusterError as error:
        problems["S3"] = error.message
    return problems, nodes
