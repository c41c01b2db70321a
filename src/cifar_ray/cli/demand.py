"""Refuses a sweep before it is submitted, where no node of the cluster, present or to come, can hold one trial."""

from __future__ import annotations

from cifar_ray.capacity import NodeKind, place, with_accelerator, with_pools
from cifar_ray.cli.connection import joined_local_cluster
from cifar_ray.cli.release_flags import ReleaseChoice
from cifar_ray.cluster import dashboard_api
from cifar_ray.cluster.credentials import read_token
from cifar_ray.errors import UnreachableError
from cifar_ray.settings import Settings, WorkerPool, read_pools, read_settings
from cifar_ray.studies import Study
from cifar_ray.studies.options import SweepOptions


def check_demand(study: Study, options: SweepOptions, release: ReleaseChoice) -> None:
    """CapacityError, as the job itself would raise it, where that is certain. To be called once connected.

    It is for the one-machine cluster and for a release whose autoscaler's pools are known. Of any other cluster only
    its head knows what it may get: there the job refuses, at once.
    """
    pools = _pools(release)
    if pools is None or (alive := _living_nodes(read_settings())) is None:
        return
    place(study, options, with_accelerator(with_pools(alive, pools), options.accelerator))


def _pools(release: ReleaseChoice) -> tuple[WorkerPool, ...] | None:
    """The pools that nodes may be added from; empty if none may be, None if that is unknown."""
    if release.is_given:
        # without an autoscaler its workers may be yet to come
        return read_pools(release.find().head_variable("CIFAR_RAY_POOLS")) or None
    cluster = joined_local_cluster()
    return None if cluster is None else read_pools(cluster.pools)


def _living_nodes(settings: Settings) -> list[NodeKind] | None:
    """None where the dashboard does not answer: the job itself asks Ray, and refuses."""
    path = settings.ray_auth_token_path
    token = settings.ray_auth_token or (read_token(path) if path else None)
    try:
        return dashboard_api.living_nodes(settings.ray_address or "", token)
    except UnreachableError:
        return None
