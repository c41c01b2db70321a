"""Checks, before a sweep starts, that every node can take part in it."""

from __future__ import annotations

from typing import cast

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cifar_ray.errors import CifarRayError, ConfigurationError, StorageError, first_line
from cifar_ray.settings import Settings, read_settings
from cifar_ray.storage.object_store import ObjectStore, open_store
from cifar_ray.storage.probe import check_marker, check_write_read_delete, leave_marker

DEADLINE_S = 120


def choose_storage(option: str | None, settings: Settings, num_nodes: int) -> str:
    """The URI of the store; ConfigurationError where it is unset and the cluster has, or may get, several nodes."""
    if uri := option or settings.storage:
        return open_store(uri, settings.s3).uri
    if num_nodes > 1:
        raise ConfigurationError(
            f"no storage is set, and a folder of each of {num_nodes} nodes' own is no store",
            "set CIFAR_RAY_STORAGE or --storage to s3://bucket/prefix, or to a folder mounted on all nodes",
        )
    return settings.default_storage


def check_every_node(store: ObjectStore) -> None:
    """Write, read and delete from every node that is alive; StorageError names the first that cannot.

    ConfigurationError where a node's image is of another commit than the driver's, as where one tag was built twice.
    A node that leaves meanwhile, as an autoscaler's may, is passed over.
    """
    check_write_read_delete(store)
    marker = leave_marker(store)
    addresses = _living_nodes()
    commit = read_settings().commit
    try:
        checks = {
            node_id: _check_from_node.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)
            ).remote(store.uri, marker, commit)
            for node_id in addresses
        }
        for node_id, check in checks.items():
            _wait_for(node_id, addresses[node_id], check)
    finally:
        store.delete(marker)


def _living_nodes() -> dict[str, str]:
    """Addresses by node id."""
    return {str(node["NodeID"]): str(node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]}


def _wait_for(node_id: str, address: str, check: ray.ObjectRef) -> None:
    try:
        failure = cast("CifarRayError | None", ray.get(check, timeout=DEADLINE_S))
    except ray.exceptions.GetTimeoutError as error:
        raise StorageError(
            f"node {address} did not finish its check of the store within {DEADLINE_S} s",
            "look at that node's load and network",
        ) from error
    except ray.exceptions.RayError as error:
        if node_id not in _living_nodes():
            return
        raise StorageError(f"node {address} could not check the store: {first_line(error)}") from error
    if failure is not None:
        raise type(failure)(f"from node {address}: {failure.message}", failure.hint)


@ray.remote(num_cpus=0, max_retries=1)
def _check_from_node(uri: str, marker: str, commit: str | None) -> CifarRayError | None:
    """Runs on the node; the error is returned so that it arrives as it is, without Ray's traceback."""
    own = read_settings().commit
    if commit and own and own != commit:
        return ConfigurationError(
            f"its image is of commit {own}, the driver's of {commit}", "give each image that you build a tag of its own"
        )
    try:
        store = open_store(uri)
        check_marker(store, marker)
        check_write_read_delete(store)
    except CifarRayError as error:
        return error
    return None
