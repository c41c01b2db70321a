"""Checks the running Ray head from the laptop, through a port-forward, and the store beside it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version

from cifar_ray.cluster import dashboard_api
from cifar_ray.cluster.on_kubernetes.api import at
from cifar_ray.cluster.on_kubernetes.findings import Finding, error, ok, warning
from cifar_ray.cluster.on_kubernetes.head_access import reach_head
from cifar_ray.cluster.on_kubernetes.release import Release
from cifar_ray.settings import Settings
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.probe import check_write_read_delete

STORAGE_VARIABLE = "CIFAR_RAY_STORAGE"
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_S3"


def check_head(release: Release) -> Iterator[Finding]:
    """Check that the dashboard answers with the token and refuses without it, and what versions it runs."""
    with reach_head(release) as head:
        yield ok("dashboard", f"answers through a port-forward{' with the token' if head.token else ''}")
        if not release.has_token:
            pass  # reported by `check_references`
        elif dashboard_api.answers_without_token(head.url):
            todo = "check authOptions and RAY_AUTH_MODE: anyone who reaches the port can run code"
            yield error("Ray's token", "the Jobs API answers without it too", todo)
        else:
            yield ok("Ray's token", "without it the Jobs API refuses")
        there = dashboard_api.versions(head.url, head.token)
    yield from _check_versions(release, there)


def _check_versions(release: Release, there: dashboard_api.Versions) -> Iterator[Finding]:
    here = version("ray")
    declared = str(at(release.cluster, "spec", "rayVersion") or "")
    if there.ray != here:
        todo = f"pip install ray=={there.ray} here, or build the image with ray=={here}"
        yield warning("Ray's version", f"{there.ray} on the cluster, {here} here", todo)
    elif declared != there.ray:
        yield warning(
            "Ray's version", f"the image has {there.ray}, the RayCluster says {declared}", "make rayVersion the image's"
        )
    else:
        yield ok("Ray's version", f"{here} on both sides")
    mine, theirs = platform.python_version(), there.python or "unknown"
    if mine.split(".")[:2] == theirs.split(".")[:2]:
        yield ok("Python's version", f"{theirs} on the cluster, {mine} here")
    else:
        todo = f"jobs run all the same; use Python {theirs} here to unpickle what they write"
        yield warning("Python's version", f"{theirs} on the cluster, {mine} here", todo)


def check_store(release: Release | None, settings: Settings) -> Iterator[Finding]:
    """Check that the store takes, returns and deletes an object from here, and is the one that the cluster uses."""
    checked = "store, from this machine"
    theirs = release.head_variable(STORAGE_VARIABLE) if release else ""
    storage = settings.storage
    if storage is None:
        todo = f"set {STORAGE_VARIABLE}{f'={theirs}' if theirs else ''} and its credentials to look at results here"
        yield warning(checked, f"not looked at: {STORAGE_VARIABLE} is not set", todo)
        return
    if theirs and storage.rstrip("/") != theirs.rstrip("/"):
        todo = f"set {STORAGE_VARIABLE}={theirs} here, or the values' store to {storage}"
        yield warning(checked, f"{storage} here, {theirs} on the cluster", todo)
    check_write_read_delete(open_store(storage, settings.s3))
    if release and theirs and storage.startswith("s3://"):
        here, there = settings.s3.endpoint_url or "", release.head_variable(ENDPOINT_VARIABLE)
        if here.rstrip("/") != there.rstrip("/"):
            todo = f"nothing, if the one here is a port forwarded to the other; else correct {ENDPOINT_VARIABLE}"
            yield warning(checked, f"{storage} is at {here or 'AWS'} here, at {there or 'AWS'} on the cluster", todo)
            return
    yield ok(checked, f"{storage} takes, gives back and removes an object")
