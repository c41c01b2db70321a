"""Says what state a pod is in and why it does not run, from its status and events."""

from __future__ import annotations

from collections.abc import Iterable

from cifar_ray.cluster.on_kubernetes.api import Json, KubernetesApi, at, objects
from cifar_ray.errors import RefusedError

HEAD_GROUP = "headgroup"
"""The head pod's `ray.io/group` label; on workers it is the group's name."""
_UNTOLD = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons that explain nothing: what holds the pod up is in its events."""


def name_of(thing: Json) -> str:
    """An object's name."""
    return str(at(thing, "metadata", "name") or "")


def is_ended(pod: Json) -> bool:
    """Whether it no longer holds resources."""
    return at(pod, "status", "phase") in ("Succeeded", "Failed")


def is_initialising(pod: Json) -> bool:
    """Whether one of the containers that come before its own runs."""
    return any(at(each, "state", "running") for each in objects(pod, "status", "initContainerStatuses"))


def is_ready(pod: Json) -> bool:
    """Whether all its containers are ready and it is not being deleted."""
    conditions = {each.get("type"): each.get("status") for each in objects(pod, "status", "conditions")}
    return conditions.get("Ready") == "True" and not at(pod, "metadata", "deletionTimestamp")


def num_ready(pods: Iterable[Json], group: str) -> int:
    """How many pods of that group of a RayCluster are ready."""
    return sum(is_ready(pod) for pod in pods if at(pod, "metadata", "labels", "ray.io/group") == group)


def why_not_ready(api: KubernetesApi, pod: Json) -> str:
    """One line: what the scheduler, the kubelet or the newest warning says."""
    if at(pod, "metadata", "deletionTimestamp"):
        return "is being deleted"
    if is_ended(pod):
        return f"has ended: {at(pod, 'status', 'reason') or at(pod, 'status', 'phase')}"
    for condition in objects(pod, "status", "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"not scheduled: {condition.get('message') or condition.get('reason')}"
    waiting = _waiting(pod)
    if waiting and waiting[0] not in _UNTOLD:
        return ": ".join(part for part in waiting if part)
    return _newest_warning(api, pod) or (waiting[0] if waiting else "is not ready yet")


def _waiting(pod: Json) -> tuple[str, str] | None:
    """The first waiting container's reason and message."""
    for statuses in ("initContainerStatuses", "containerStatuses"):
        for status in objects(pod, "status", statuses):
            waiting = at(status, "state", "waiting")
            if waiting and not (waiting.get("reason") == "PodInitializing" and statuses == "containerStatuses"):
                return str(waiting.get("reason") or "waiting"), str(waiting.get("message") or "")
    return None


def _newest_warning(api: KubernetesApi, pod: Json) -> str:
    namespace = str(at(pod, "metadata", "namespace") or api.namespace)
    fields = f"involvedObject.kind=Pod,involvedObject.name={name_of(pod)},type=Warning"
    try:
        warnings = api.list_all("api", "v1", "namespaces", namespace, "events", fields=fields)
    except RefusedError:
        # a right that people who may read pods do not always have
        return ""
    if not warnings:
        return ""
    newest = max(warnings, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
    return f"{newest.get('reason')}: {newest.get('message')}"
