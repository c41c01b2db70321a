"""Checks a Kubernetes cluster and a release on it, and says what to fix."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from cifar_ray.cluster.on_kubernetes.api import KubernetesApi
from cifar_ray.cluster.on_kubernetes.cluster_checks import (
    Inventory,
    check_accelerators,
    check_api,
    check_kinds,
    check_operator,
    take_inventory,
)
from cifar_ray.cluster.on_kubernetes.findings import Finding, Severity, guarded, ok
from cifar_ray.cluster.on_kubernetes.head_checks import check_head, check_store
from cifar_ray.cluster.on_kubernetes.release import Release, find_release
from cifar_ray.cluster.on_kubernetes.release_checks import check_groups, check_references
from cifar_ray.settings import Settings


def examine(api: KubernetesApi, release_name: str | None, settings: Settings) -> Iterator[Finding]:
    """All findings, each as soon as it is made. Without a release, only the cluster and the store are checked."""
    answers = list(guarded("Kubernetes API", partial(check_api, api)))
    yield from answers
    if any(finding.severity is Severity.ERROR for finding in answers):
        return
    yield from guarded("KubeRay's kinds", partial(check_kinds, api))
    yield from guarded("KubeRay operator", partial(check_operator, api))
    inventories: list[Inventory] = []
    yield from guarded("nodes", partial(_take, api, inventories))
    releases: list[Release] = []
    if release_name is not None:
        yield from guarded(f"release {release_name}", partial(_find, api, release_name, releases))
    for release in releases:
        for inventory in inventories:
            yield from guarded("worker groups", partial(check_groups, release, inventory))
        yield from guarded("Secrets and ServiceAccounts", partial(check_references, release))
        yield from guarded("dashboard", partial(check_head, release))
    found = releases[0] if releases else None
    yield from guarded("store, from this machine", partial(check_store, found, settings))


def _take(api: KubernetesApi, inventories: list[Inventory]) -> Iterator[Finding]:
    inventory = take_inventory(api)
    inventories.append(inventory)
    away = sum(not node.takes_pods for node in inventory.nodes)
    found = [f"{len(inventory.nodes) - away}", *([f"{away} cordoned or not ready"] if away else [])]
    yield ok("nodes", ", ".join([*found, *(["more on demand"] if inventory.has_node_autoscaler else [])]))
    yield from check_accelerators(inventory)


def _find(api: KubernetesApi, name: str, releases: list[Release]) -> Iterator[Finding]:
    release = find_release(api, name)
    releases.append(release)
    yield ok(f"release {name}", f"RayCluster {release.cluster_name} in namespace {release.namespace}")
