"""Reports the state of a release: its pools, the pods that do not run, its jobs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from cifar_ray.cluster.on_kubernetes.api import Json, at, objects
from cifar_ray.cluster.on_kubernetes.pods import HEAD_GROUP, is_ended, is_ready, name_of, num_ready, why_not_ready
from cifar_ray.cluster.on_kubernetes.release import INSTANCE, RAY_IO, Release


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A group of pods of one kind."""

    name: str
    min_pods: int
    ready: int
    wanted: int
    """What the autoscaler, or the values, ask for now."""
    max_pods: int


@dataclass(frozen=True, kw_only=True)
class WaitingPod:
    """A pod that does not run yet, or no longer runs."""

    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class KubernetesJob:
    """A RayJob."""

    name: str
    state: str
    """KubeRay's and Ray's: `Running, RUNNING`."""
    submission_id: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ReleaseStatus:
    """The state of a release."""

    cluster: str
    state: str
    troubles: tuple[str, ...]
    """Failures that the RayCluster's conditions report, and pods of worker groups that it no longer has."""
    pools: tuple[Pool, ...]
    waiting: tuple[WaitingPod, ...]
    jobs: tuple[KubernetesJob, ...]


def release_status(release: Release) -> ReleaseStatus:
    """The current state of the release; errors as for `KubernetesApi.get`."""
    pods = release.pods()
    jobs = release.api.list_all(
        *RAY_IO, "namespaces", release.namespace, "rayjobs", labels=f"{INSTANCE}={release.name}"
    )
    return ReleaseStatus(
        cluster=release.cluster_name,
        state=str(at(release.cluster, "status", "state") or "not taken up by the KubeRay operator yet"),
        troubles=(*_failures(release.cluster), *_orphans(release, pods)),
        pools=tuple(_pools(release, pods)),
        waiting=tuple(
            WaitingPod(name=name_of(pod), why=why_not_ready(release.api, pod))
            for pod in (*pods, *release.other_pods())
            if not is_ready(pod)
        ),
        jobs=tuple(map(_job, sorted(jobs, key=name_of))),
    )


def _failures(cluster: Json) -> list[str]:
    return [
        f"{each.get('reason')}: {each.get('message')}"
        for each in objects(cluster, "status", "conditions")
        if each.get("type") == "ReplicaFailure" and each.get("status") == "True"
    ]


def _orphans(release: Release, pods: list[Json]) -> list[str]:
    """Of each group that was removed while it had pods: KubeRay leaves those, and Ray's autoscaler fails at them."""
    harm = " and which hold up the autoscaler" if release.is_autoscaled else ""
    known = {HEAD_GROUP, *(str(group.get("groupName")) for group in release.groups)}
    living = Counter(
        str(at(pod, "metadata", "labels", "ray.io/group"))
        for pod in pods
        if not (is_ended(pod) or at(pod, "metadata", "deletionTimestamp"))
    )
    return [
        f"pods of worker group {name!r}, which the release no longer has{harm}: {num};"
        f" kubectl delete pods --namespace {release.namespace}"
        f" --selector ray.io/cluster={release.cluster_name},ray.io/group={name}"
        for name, num in sorted(living.items())
        if name not in known
    ]


def _pools(release: Release, pods: list[Json]) -> list[Pool]:
    pools = [Pool(name="head", min_pods=1, ready=num_ready(pods, HEAD_GROUP), wanted=1, max_pods=1)]
    for group in release.groups:
        hosts = int(group.get("numOfHosts") or 1)
        least, wanted, most = (int(group.get(name) or 0) * hosts for name in ("minReplicas", "replicas", "maxReplicas"))
        name = str(group.get("groupName"))
        bounds = (least, most) if release.is_autoscaled else (wanted, wanted)
        pools.append(
            Pool(name=name, min_pods=bounds[0], ready=num_ready(pods, name), wanted=wanted, max_pods=bounds[1])
        )
    return pools


def _job(job: Json) -> KubernetesJob:
    states = (at(job, "status", "jobDeploymentStatus"), at(job, "status", "jobStatus"))
    is_suspended = at(job, "spec", "suspend")
    return KubernetesJob(
        name=name_of(job),
        state=", ".join(str(state) for state in states if state) or ("suspended" if is_suspended else "not started"),
        submission_id=str(at(job, "status", "jobId") or ""),
        message=str(at(job, "status", "message") or ""),
    )
