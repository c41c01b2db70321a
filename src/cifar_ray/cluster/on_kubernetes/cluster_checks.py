"""Checks the Kubernetes cluster: its API, the KubeRay operator, its GPU nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cifar_ray.cluster.on_kubernetes.api import Json, KubernetesApi, at, objects
from cifar_ray.cluster.on_kubernetes.findings import Finding, error, ok, warning
from cifar_ray.cluster.on_kubernetes.placement import Node, with_usage
from cifar_ray.cluster.on_kubernetes.pods import name_of
from cifar_ray.errors import RefusedError

OPERATOR_WANTED = (1, 7)
KINDS = ("rayclusters", "rayjobs")

_INSTALL = (
    "helm repo add kuberay https://ray-project.github.io/kuberay-helm; "
    "helm install kuberay-operator kuberay/kuberay-operator --version 1.7.0 "
    "--namespace kuberay --create-namespace --wait "
    # long enough to wait for a new head on a new node
    "--set 'env[0].name=RAYJOB_STATUS_CHECK_TIMEOUT_SECONDS' --set-string 'env[0].value=1800'"
)
# KubeRay's chart uses the first, its kustomization the second
_OPERATOR_LABELS = "app.kubernetes.io/name in (kuberay-operator,kuberay)"
_TAG = re.compile(r":v?(\d+)\.(\d+)[^:/]*$")


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The nodes, and what runs on them where access allows."""

    nodes: tuple[Node, ...]
    knows_usage: bool
    """False where pods of other namespaces may not be listed: all resources count as free then."""
    has_node_autoscaler: bool
    """Whether nodes may be added on demand."""


def take_inventory(api: KubernetesApi) -> Inventory:
    """List all nodes and pods; RefusedError where nodes may not be listed."""
    nodes = api.list_all("api", "v1", "nodes")
    fields = "status.phase!=Succeeded,status.phase!=Failed"
    pods: list[Json] | None
    try:
        pods = api.list_all("api", "v1", "pods", fields=fields)
    except RefusedError:
        pods = None
    return Inventory(
        nodes=tuple(with_usage(nodes, pods or [])),
        knows_usage=pods is not None,
        has_node_autoscaler=_has_node_autoscaler(api),
    )


def check_api(api: KubernetesApi) -> Iterator[Finding]:
    """Check that the API answers."""
    version = api.get("version").get("gitVersion") or "of unknown version"
    yield ok("Kubernetes API", f"{version} at {api.url}, namespace {api.namespace}")


def check_kinds(api: KubernetesApi) -> Iterator[Finding]:
    """Check that KubeRay's kinds are served, in the version that the chart uses."""
    try:
        served = {each.get("name") for each in objects(api.get("apis", "ray.io", "v1"), "resources")}
    except RefusedError as refusal:
        if not refusal.is_missing:
            raise
        yield error("KubeRay's kinds", "the API does not serve ray.io/v1", _INSTALL)
        return
    if missing := [kind for kind in KINDS if kind not in served]:
        yield error("KubeRay's kinds", f"ray.io/v1 lacks {', '.join(missing)}", _INSTALL)
    else:
        yield ok("KubeRay's kinds", f"ray.io/v1 serves {', '.join(KINDS)}")


def check_operator(api: KubernetesApi) -> Iterator[Finding]:
    """Check that the operator runs, in a version that supports what the chart asks for."""
    found = [
        each for each in api.list_all("apis", "apps", "v1", "deployments", labels=_OPERATOR_LABELS) if _image(each)
    ]
    if not found:
        yield error("KubeRay operator", "no deployment of it in any namespace", _INSTALL)
    for deployment in found:
        where = f"{at(deployment, 'metadata', 'namespace')}/{name_of(deployment)}"
        image = _image(deployment)
        wanted = ".".join(map(str, OPERATOR_WANTED))
        match = _TAG.search(image)
        if not at(deployment, "status", "availableReplicas"):
            todo = f"kubectl describe deployment --namespace {at(deployment, 'metadata', 'namespace')}"
            yield error("KubeRay operator", f"{where} has no pod that is available", todo)
        elif match is None:
            yield warning("KubeRay operator", f"{where} runs {image}", f"make sure that it is {wanted} or later")
        elif (int(match[1]), int(match[2])) < OPERATOR_WANTED:
            todo = f"upgrade it to {wanted}, its CRDs too (helm leaves them as they are)"
            yield error("KubeRay operator", f"{where} runs {image}", todo)
        else:
            yield ok("KubeRay operator", f"{where} runs {image}")


def check_accelerators(inventory: Inventory) -> Iterator[Finding]:
    """Count the accelerators on nodes that take pods, and how many of them no pod has requested."""
    nodes = [node for node in inventory.nodes if node.takes_pods]
    # what Ray's autoscaler and the chart count as a GPU
    kinds = {kind for node in nodes for kind, amount in node.allocatable.items() if amount and kind.endswith("gpu")}
    for kind in sorted(kinds):
        holders = [node for node in nodes if node.allocatable.get(kind)]
        count = float(sum(node.allocatable[kind] for node in holders))
        free = float(sum(node.free[kind] for node in holders))
        known = f"{free:g} free" if inventory.knows_usage else "how many are free is not known"
        yield ok("accelerators", f"{len(holders)} nodes hold {count:g} {kind}, {known}")
    if not kinds:
        todo = (
            "scale up a GPU pool, or let your node autoscaler do so"
            if inventory.has_node_autoscaler
            else "add GPU nodes, and NVIDIA's device plugin or GPU operator; or take the CPU values"
        )
        yield warning("accelerators", f"none of {len(nodes)} nodes offers any", todo)


def _image(deployment: Json) -> str:
    """The operator's image; empty for other deployments of KubeRay."""
    images = [str(each.get("image")) for each in objects(deployment, "spec", "template", "spec", "containers")]
    return next((image for image in images if "operator" in image.rpartition("/")[2]), "")


def _has_node_autoscaler(api: KubernetesApi) -> bool:
    """Whether Karpenter or the cluster autoscaler is running; False where access to that is forbidden."""
    try:
        if any(group.get("name") == "karpenter.sh" for group in objects(api.get("apis"), "groups")):
            return True
        api.get("api", "v1", "namespaces", "kube-system", "configmaps", "cluster-autoscaler-status")
    except RefusedError:
        return False
    return True
