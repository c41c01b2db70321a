"""Which cluster and store a command means: the environment's, else the one-machine cluster's."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from cifar_ray.cli.release_flags import ReleaseChoice
from cifar_ray.cluster import environment, local
from cifar_ray.cluster.on_kubernetes.head_access import reach_head
from cifar_ray.cluster.state import LocalCluster, find
from cifar_ray.errors import ClusterError, ConfigurationError
from cifar_ray.settings import Settings, read_settings
from cifar_ray.storage.object_store import ObjectStore, open_store
from cifar_ray.storage.runs import RunStore

if TYPE_CHECKING:
    from cifar_ray.submission.jobs_client import JobsClient

LOCAL_FOLDER = "local"
"""Below the settings' home: the one-machine cluster's state."""
DEMO_FOLDER = "demo"
"""The same of the demo's own."""

storage_option = click.option(
    "--storage",
    metavar="URI",
    help="s3://bucket/prefix or a folder. [default: CIFAR_RAY_STORAGE, else the local cluster's, else "
    "~/.cifar-ray/results]",
)
"""For commands that read results, by `connect_runs`."""


def use_local_cluster() -> None:
    """Make this process a client of the one-machine cluster, unless the environment names another cluster."""
    settings = read_settings()
    if settings.ray_address is None and (cluster := find(settings.home / LOCAL_FOLDER)) is not None:
        enter(cluster)


def enter(cluster: LocalCluster) -> None:
    """Make this process a client of `cluster`: the person's own keys for other clusters must not shadow its."""
    joined = environment.joined(os.environ, cluster.environment())
    for name in set(os.environ) - set(joined):
        del os.environ[name]
    os.environ.update(joined)


def use_release(release: ReleaseChoice) -> None:
    """Make this process a client of the release's head, through a port-forward that ends with the command.

    The rest of the environment but another cluster's token stays: the kubeconfig's plugin may renew its credentials
    with it.
    """
    head = click.get_current_context().with_resource(reach_head(release.find()))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        os.environ.pop(name, None)
    os.environ.update(environment.past_proxy(os.environ))
    os.environ.update({"RAY_API_SERVER_ADDRESS": head.url, "RAY_AUTH_MODE": "token" if head.token else "disabled"})
    if head.token:
        # in this process's memory alone: a file would have to be removed
        os.environ["RAY_AUTH_TOKEN"] = head.token


def connect_jobs(release: ReleaseChoice | None = None) -> JobsClient:
    """The Jobs API of the release, else of the environment's or the local cluster; ClusterError where none is known."""
    if is_release := release is not None and release.is_given:
        use_release(release)
    else:
        use_local_cluster()
    settings = read_settings()
    if settings.ray_address is None:
        raise ClusterError(
            "no cluster is known",
            "start one with `cifar-ray local up`, name a --release, or set RAY_API_SERVER_ADDRESS (RAY_ADDRESS is "
            "not read)",
        )
    if settings.ray_auth_token or settings.ray_auth_token_path:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    # Ray takes most of a second to load, and reads those variables as it loads
    from cifar_ray.submission.jobs_client import OWN_ADDRESS_HINT, JobsClient  # noqa: PLC0415

    flags = release.flags if release else ""
    if is_release:
        hint = f"look with `cifar-ray cluster doctor{flags}`"
    else:
        hint = "look with `cifar-ray local status`" if joined_local_cluster() else OWN_ADDRESS_HINT
    return JobsClient(settings.ray_address, flags, hint)


def joined_local_cluster() -> LocalCluster | None:
    """The one-machine cluster, where it is the one that this process is a client of."""
    settings = read_settings()
    cluster = _found(settings.home / LOCAL_FOLDER)
    return cluster if cluster is not None and cluster.dashboard_url == settings.ray_address else None


def local_cluster_end() -> Callable[[], bool]:
    """Whether the one-machine cluster has been stopped since now; never of another cluster that this is a client of."""
    home, cluster = read_settings().home / LOCAL_FOLDER, joined_local_cluster()
    return lambda: cluster is not None and _found(home, is_whole=False) != cluster


def _found(home: Path, *, is_whole: bool = True) -> LocalCluster | None:
    """The one-machine cluster; None where its state cannot be read either."""
    try:
        return find(home, is_whole=is_whole)
    except ClusterError:
        return None


def find_store(storage: str | None) -> ObjectStore:
    """The store of results: the option's, the environment's, the local cluster's, else the default folder.

    An address in the local cluster's bucket is of its S3 server, unless the environment names another cluster or S3.
    """
    before = read_settings()
    if (storage is None and before.storage is None) or _is_in_local_cluster(storage, before):
        use_local_cluster()
    settings = read_settings()
    return open_store(storage or settings.storage or settings.default_storage, settings.s3)


def _is_in_local_cluster(storage: str | None, settings: Settings) -> bool:
    if not (storage or "").startswith("s3://") or settings.s3.endpoint_url is not None:
        return False
    cluster = _found(settings.home / LOCAL_FOLDER)
    return cluster is not None and urlsplit(storage).netloc == urlsplit(cluster.storage).netloc


def connect_runs(storage: str | None, *, may_be_new: bool = False) -> RunStore:
    """The sweeps in the store that `find_store` finds.

    A line on stderr says so if the local cluster's results are elsewhere, or its jobs write elsewhere, if the
    environment names a cluster and no store, or a folder that is not there yet, which the first job makes. One that the
    option names must be there, unless it `may_be_new`: ConfigurationError.
    """
    store = find_store(storage)
    settings = read_settings()
    if not may_be_new and "://" not in store.uri and not os.path.isdir(store.uri):
        what = f"there is no folder {store.uri}"
        if storage:
            raise ConfigurationError(what, "give --storage an s3://bucket/prefix or a folder")
        if settings.storage:
            click.echo(f"{what}, which CIFAR_RAY_STORAGE names", err=True)
    home = settings.home / LOCAL_FOLDER
    if not (storage or settings.storage) and (kept := local.kept_objects(home)):
        click.echo(
            f"the local cluster is down; its results are in {kept}: `cifar-ray local up` makes them readable", err=True
        )
    if settings.ray_address and not (storage or settings.storage):
        click.echo(
            f"reading {store.uri}; if the cluster of RAY_API_SERVER_ADDRESS writes elsewhere, set CIFAR_RAY_STORAGE to "
            "that",
            err=True,
        )
    cluster = _found(home) if settings.storage and not storage else None
    # the environment may name another cluster, whose store that is
    if cluster and settings.ray_address in (None, cluster.dashboard_url) and store.uri != cluster.storage:
        click.echo(
            f"reading {store.uri}, since CIFAR_RAY_STORAGE names it; jobs of the local cluster write to "
            f"{cluster.storage}: unset the variable to read that",
            err=True,
        )
    return RunStore(store, f" --storage {shlex.quote(storage)}" if storage else "")
