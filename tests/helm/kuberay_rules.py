"""What KubeRay 1.7's operator rejects beyond its schemas (ray-operator/controllers/ray/utils/validation.go)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

MAX_NAME = {"RayCluster": 53, "RayJob": 47}
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_RAY_START_RESOURCES = ("num-cpus", "num-gpus", "memory", "resources")


def violations(manifest: Json) -> list[str]:
    """Each rule that the RayCluster or RayJob breaks, in words."""
    return [*_name_rules(manifest), *(_job_rules if manifest["kind"] == "RayJob" else _cluster_rules)(manifest["spec"])]


def _name_rules(manifest: Json) -> Iterator[str]:
    name, most = manifest["metadata"]["name"], MAX_NAME[manifest["kind"]]
    if len(name) > most:
        yield f"the name has more than {most} characters"
    if not _NAME.fullmatch(name):
        yield "the name is no DNS-1035 label"


def _cluster_rules(spec: Json) -> Iterator[str]:
    head, workers = spec["headGroupSpec"], spec.get("workerGroupSpecs", [])
    for group in [head, *workers]:
        yield from _group_rules(group, group.get("groupName", "head"))
    options = spec.get("autoscalerOptions", {})
    is_scaled = bool(spec.get("enableInTreeAutoscaling"))
    is_v2 = is_scaled and options.get("version") == "v2"
    for group in workers:
        yield from _worker_rules(group, spec, is_scaled=is_scaled, is_v2=is_v2)
    if is_v2:
        for group in [head, *workers]:
            if group["template"]["spec"].get("restartPolicy", "Never") != "Never":
                yield "autoscaler v2 needs restartPolicy Never"
    yield from _head_environment_rules(spec, is_scaled=is_scaled)
    if spec.get("authOptions", {}).get("mode") == "token" and _version(spec) < (2, 52):
        yield "token authentication needs rayVersion 2.52"
    for gated in ("networkPolicy", "tlsOptions", "historyServerOptions"):
        if gated in spec:
            yield f"{gated} needs a feature gate that is off by default"


def _group_rules(group: Json, name: str) -> Iterator[str]:
    parameters = group.get("rayStartParams", {})
    if group.get("resources") and any(each in parameters for each in _RAY_START_RESOURCES):
        yield f"{name}: resources both in rayStartParams and in the group"
    if "labels" in parameters:
        yield f"{name}: labels in rayStartParams"
    if not group["template"]["spec"].get("containers"):
        yield f"{name}: no container"


def _worker_rules(group: Json, spec: Json, *, is_scaled: bool, is_v2: bool) -> Iterator[str]:
    name, least, most = group["groupName"], group.get("minReplicas"), group.get("maxReplicas")
    if not is_scaled and (least is None or most is None):
        yield f"{name}: minReplicas and maxReplicas are needed without an autoscaler"
    if least is not None and most is not None and not 0 <= least <= most:
        yield f"{name}: minReplicas above maxReplicas, or below 0"
    if "idleTimeoutSeconds" in group and not is_v2:
        yield f"{name}: idleTimeoutSeconds needs autoscaler v2"
    if group.get("priority") and not (is_v2 and _version(spec) >= (2, 56)):
        yield f"{name}: priority needs autoscaler v2 and rayVersion 2.56"
    if group.get("suspend") and is_scaled:
        yield f"{name}: suspend with an autoscaler"


def _head_environment_rules(spec: Json, *, is_scaled: bool) -> Iterator[str]:
    container = spec["headGroupSpec"]["template"]["spec"]["containers"][0]
    names = {each["name"] for each in container.get("env", [])}
    if managed := names & {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME"}:
        yield f"{', '.join(sorted(managed))}: gcsFaultToleranceOptions sets that"
    if "RAY_enable_autoscaler_v2" in names and (not is_scaled or "version" in spec.get("autoscalerOptions", {})):
        yield "RAY_enable_autoscaler_v2: autoscalerOptions.version sets that"


def _job_rules(spec: Json) -> Iterator[str]:
    selects = bool(spec.get("clusterSelector"))
    if selects and not spec["clusterSelector"].get("ray.io/cluster"):
        yield "clusterSelector names no cluster"
    if selects == ("rayClusterSpec" in spec):
        yield "one of rayClusterSpec and clusterSelector"
    if spec.get("suspend") and (selects or not spec.get("shutdownAfterJobFinishes")):
        yield "suspend needs shutdownAfterJobFinishes and a cluster of its own"
    if selects and (spec.get("submissionMode") == "SidecarMode" or spec.get("backoffLimit", 0) > 0):
        yield "clusterSelector with SidecarMode or a backoffLimit"
    if spec.get("submissionMode") == "SidecarMode" and ("submitterPodTemplate" in spec or "submitterConfig" in spec):
        yield "SidecarMode with a submitter of its own"
    if spec.get("activeDeadlineSeconds", 1) <= 0 or spec.get("backoffLimit", 0) < 0:
        yield "activeDeadlineSeconds and backoffLimit are not negative"
    yield from _deletion_rules(spec, selects=selects)
    if "rayClusterSpec" in spec:
        yield from _cluster_rules(spec["rayClusterSpec"])


def _deletion_rules(spec: Json, *, selects: bool) -> Iterator[str]:
    shuts_down, strategy = spec.get("shutdownAfterJobFinishes", False), spec.get("deletionStrategy")
    if spec.get("ttlSecondsAfterFinished", 0) > 0 and not shuts_down:
        yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
    if strategy is None:
        return
    if strategy.get("deletionRules") and shuts_down:
        yield "deletionRules with shutdownAfterJobFinishes"
    policies = {each["policy"] for each in strategy.get("deletionRules", [])}
    policies |= {strategy[each]["policy"] for each in ("onSuccess", "onFailure") if each in strategy}
    if selects and policies & {"DeleteCluster", "DeleteWorkers"}:
        yield "clusterSelector with a policy that deletes the cluster"


def _version(spec: Json) -> tuple[int, ...]:
    return tuple(int(part) for part in str(spec.get("rayVersion") or "0").split(".")[:2])
