"""Checks one release: whether its pods fit the nodes, and whether what they refer to exists."""

from __future__ import annotations

from collections.abc import Iterator

from cifar_ray.cluster.on_kubernetes.api import Json, at, objects
from cifar_ray.cluster.on_kubernetes.cluster_checks import Inventory
from cifar_ray.cluster.on_kubernetes.findings import Finding, error, ok, warning
from cifar_ray.cluster.on_kubernetes.placement import PODS, demand, fit
from cifar_ray.cluster.on_kubernetes.pods import HEAD_GROUP, num_ready
from cifar_ray.cluster.on_kubernetes.quantities import spelled
from cifar_ray.cluster.on_kubernetes.release import Release
from cifar_ray.errors import RefusedError

MAX_REASONS = 3
EPHEMERAL_STORAGE = "ephemeral-storage"
AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def check_groups(release: Release, inventory: Inventory) -> Iterator[Finding]:
    """Check whether a pod of the head and of each worker group fits some node."""
    pods = release.pods()
    for group in _groups(release):
        running = num_ready(pods, str(group.get("groupName") or HEAD_GROUP))
        yield _check_group(release, inventory, group, running)


def _check_group(release: Release, inventory: Inventory, group: Json, running: int) -> Finding:
    spec = at(group, "template", "spec") or {}
    if "groupName" not in group and release.is_autoscaled:
        spec = spec | {"containers": [*objects(spec, "containers"), _autoscaler(release)]}
    wants = ", ".join(spelled(name, amount) for name, amount in demand(spec).items() if name != PODS and amount)
    checked, limits, most = _described(release, group)
    asks = f"a pod asks for {wants or 'nothing'}; {limits}; {running} ready"
    pods_fit = fit(spec, inventory.nodes)
    if pods_fit.room or running >= most:
        count = "" if not inventory.knows_usage else f", room for {pods_fit.room} more"
        return ok(checked, f"{asks}{count}")
    if pods_fit.when_empty:
        found = f"{asks}; no node has room now, {len(pods_fit.when_empty)} would if emptier"
        todo = f"free {pods_fit.when_empty[0]}, or wait: pods stay pending until then"
        return warning(checked, found, todo)
    missing = "; ".join(pods_fit.missing[:MAX_REASONS]) or "there are no nodes"
    if inventory.has_node_autoscaler:
        found = f"{asks}; no node of now fits: {missing}"
        return warning(checked, found, f"make sure that the node autoscaler has a pool that fits{_disk(spec)}")
    todo = "change the group's resources, node selector or tolerations in your values, or add such nodes"
    return error(checked, f"{asks}; no node fits: {missing}", todo)


def _disk(spec: Json) -> str:
    """A hint on disk size, which is easily forgotten: EKS gives a node 20 GiB by default."""
    if not (wanted := demand(spec).get(EPHEMERAL_STORAGE)):
        return ""
    return f", with disks for {spelled(EPHEMERAL_STORAGE, wanted)} and the image: 20 GiB is EKS's default"


def _autoscaler(release: Release) -> Json:
    """The autoscaler's container, which KubeRay adds to the head pod."""
    resources = at(release.cluster, "spec", "autoscalerOptions", "resources")
    return {"resources": resources or {"requests": {"cpu": "500m", "memory": "512Mi"}}}


def _described(release: Release, group: Json) -> tuple[str, str, int]:
    """The group's name, its size in words, and the most pods that it may have."""
    if "groupName" not in group:
        return "head", "one pod", 1
    least, most = (int(group.get(name) or 0) for name in ("minReplicas", "maxReplicas"))
    hosts = int(group.get("numOfHosts") or 1)
    name = f"worker group {group['groupName']}"
    if release.is_autoscaled:
        return name, f"autoscaled from {least} to {most}", most * hosts
    fixed = int(group.get("replicas") or 0)
    return name, f"fixed at {fixed}", fixed * hosts


def check_references(release: Release) -> Iterator[Finding]:
    """Check that the Secrets and ServiceAccounts that the pods name exist, with the keys that they read."""
    specs = [at(group, "template", "spec") or {} for group in _groups(release)]
    secrets: dict[str, set[str]] = {}
    for spec in specs:
        for name, key in _secrets(spec):
            secrets.setdefault(name, set()).update({key} if key else ())
    for each in (at(release.cluster, "spec", "gcsFaultToleranceOptions") or {}).values():
        if reference := at(each, "valueFrom", "secretKeyRef"):
            secrets.setdefault(str(reference.get("name")), set()).add(str(reference.get("key")))
    whole = {str(at(each, "secretRef", "name")) for spec in specs for each in _sources(spec)}
    if release.has_token:
        release.token()
        yield ok(f"Secret {release.token_secret}", "holds Ray's token")
    else:
        todo = "set authOptions.mode: token, unless the network alone keeps others out"
        yield warning("Ray's token", "this release lets in whoever reaches its ports", todo)
    for name, keys in sorted(secrets.items()):
        yield _check_secret(release, name, keys, is_stores=name in whole)
    for name in sorted({str(spec["serviceAccountName"]) for spec in specs if spec.get("serviceAccountName")}):
        is_there = _look_up(release, "serviceaccounts", name) is not None
        checked = f"ServiceAccount {name}"
        yield ok(checked, "is there") if is_there else error(checked, "is missing", _create("ServiceAccount"))


def _groups(release: Release) -> list[Json]:
    return [at(release.cluster, "spec", "headGroupSpec") or {}, *release.groups]


def _containers(spec: Json) -> list[Json]:
    return [*objects(spec, "containers"), *objects(spec, "initContainers")]


def _sources(spec: Json) -> list[Json]:
    """What its containers take as variables whole: in the chart's pods, the Secret of the store's keys alone."""
    return [each for container in _containers(spec) for each in objects(container, "envFrom")]


def _secrets(spec: Json) -> Iterator[tuple[str, str | None]]:
    """Names of the Secrets that a pod of that spec cannot start without, each with the key that it reads, if any."""
    references = [
        *(at(each, "valueFrom", "secretKeyRef") for each in _containers(spec) for each in objects(each, "env")),
        *(at(each, "secretRef") for each in _sources(spec)),
        *(at(each, "secret") for each in objects(spec, "volumes")),
        *objects(spec, "imagePullSecrets"),
    ]
    for reference in filter(None, references):
        name = reference.get("name") or reference.get("secretName")
        if name and not reference.get("optional"):
            yield str(name), reference.get("key")


def _check_secret(release: Release, name: str, keys: set[str], *, is_stores: bool) -> Finding:
    checked = f"Secret {name}"
    secret = _look_up(release, "secrets", name)
    if secret is None:
        return error(checked, "is missing: pods that need it do not start", _create("Secret"))
    held = set(at(secret, "data") or {})
    if missing := sorted(keys - held):
        return error(checked, f"lacks {', '.join(missing)}", "add the keys that the values name")
    if is_stores and (missing := sorted(set(AWS_KEYS) - held)):
        todo = "add them under these names; for an identity of the pods, leave objectStore.existingSecret empty"
        return warning(checked, f"lacks {', '.join(missing)}, by which pods reach the store", todo)
    return ok(checked, f"is there, with {', '.join(sorted(keys))}" if keys else "is there")


def _look_up(release: Release, kind: str, name: str) -> Json | None:
    """The object in the release's namespace; None where it is missing."""
    try:
        return release.api.get("api", "v1", "namespaces", release.namespace, kind, name)
    except RefusedError as refusal:
        if not refusal.is_missing:
            raise
        return None


def _create(kind: str) -> str:
    return f"create the {kind} in the release's namespace, or correct its name in your values"
