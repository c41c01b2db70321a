"""Works out whether a pod fits a node, and what is missing where it does not.

It looks at resources, node selector, required node affinity, taints and cordons. Affinity between pods,
topology spread and volumes' zones are left to the scheduler.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cifar_ray.cluster.on_kubernetes.api import Json, at, objects
from cifar_ray.cluster.on_kubernetes.pods import is_ended, name_of
from cifar_ray.cluster.on_kubernetes.quantities import quantity, spelled

Amounts = dict[str, Decimal]

PODS = "pods"

_NODE = "node.kubernetes.io/"
_SAID_ABOVE = {f"{_NODE}unschedulable", f"{_NODE}not-ready", f"{_NODE}unreachable"}
"""Taints by which Kubernetes repeats a node's state, which `_states_against` reports."""


def demand(spec: Json) -> Amounts:
    """What a pod of that spec requests of its node, including one of its pod slots."""
    sidecars = [each for each in objects(spec, "initContainers") if each.get("restartPolicy") == "Always"]
    starters = [each for each in objects(spec, "initContainers") if each.get("restartPolicy") != "Always"]
    total: Amounts = {}
    for container in [*objects(spec, "containers"), *sidecars]:
        total = _sum(total, _requests(container))
    for container in starters:
        total |= {name: max(amount, total.get(name, amount)) for name, amount in _requests(container).items()}
    return _sum(total, _amounts(spec.get("overhead"))) | {PODS: Decimal(1)}


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node, and how much of its resources is free."""

    manifest: Json
    allocatable: Amounts
    free: Amounts

    @property
    def name(self) -> str:
        """Its name."""
        return name_of(self.manifest)

    @property
    def takes_pods(self) -> bool:
        """Whether it accepts new pods: a lost node still lists its allocatable resources."""
        return not _states_against(self.manifest)


def with_usage(nodes: Sequence[Json], pods: Sequence[Json]) -> list[Node]:
    """The nodes, less what the pods on each request."""
    used: dict[str, Amounts] = {}
    for pod in pods:
        if not is_ended(pod):
            node_name = str(at(pod, "spec", "nodeName"))
            used[node_name] = _sum(used.get(node_name, {}), demand(at(pod, "spec") or {}))
    made = []
    for node in nodes:
        allocatable = _amounts(at(node, "status", "allocatable"))
        taken = used.get(name_of(node), {})
        free = {name: max(Decimal(0), amount - taken.get(name, 0)) for name, amount in allocatable.items()}
        made.append(Node(manifest=node, allocatable=allocatable, free=free))
    return made


@dataclass(frozen=True, kw_only=True)
class PodFit:
    """Where pods of one spec can go."""

    room: int
    """How many more pods fit what is free now."""
    when_empty: tuple[str, ...]
    """The nodes that would hold one if nothing else ran there."""
    missing: tuple[str, ...]
    """Why the other nodes will not do, the most common reason first, each with its number of nodes."""


def fit(spec: Json, nodes: Sequence[Node]) -> PodFit:
    """Where pods of that spec can go."""
    wanted = demand(spec)
    room, when_empty = 0, []
    reasons: Counter[str] = Counter()
    for node in nodes:
        obstacles = [*_rules_against(spec, node.manifest), *_shortages(wanted, node.allocatable)]
        if obstacles:
            reasons.update(obstacles)
            continue
        when_empty.append(node.name)
        room += int(min(node.free.get(name, Decimal(0)) // amount for name, amount in wanted.items() if amount))
    missing = tuple(f"{count} of {len(nodes)} nodes: {reason}" for reason, count in reasons.most_common())
    return PodFit(room=room, when_empty=tuple(when_empty), missing=missing)


def _requests(container: Json) -> Amounts:
    """The container's requests; a limit without a request counts as one, as in the API server."""
    return _amounts(at(container, "resources", "limits")) | _amounts(at(container, "resources", "requests"))


def _amounts(mapping: Any) -> Amounts:
    return {name: quantity(text) for name, text in mapping.items()} if isinstance(mapping, dict) else {}


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return one | {name: one.get(name, Decimal(0)) + amount for name, amount in other.items()}


def _shortages(wanted: Amounts, available: Amounts) -> list[str]:
    return [
        f"has {spelled(name, available.get(name, Decimal(0)))}, the pod needs {spelled(name, amount)}"
        for name, amount in wanted.items()
        if amount > available.get(name, Decimal(0))
    ]


def _rules_against(spec: Json, node: Json) -> list[str]:
    """What keeps the pod off the node, apart from resources."""
    labels = at(node, "metadata", "labels") or {}
    found = [
        f"label {name} is {labels.get(name)!r}, not {value!r}" if name in labels else f"no label {name}={value}"
        for name, value in (spec.get("nodeSelector") or {}).items()
        if labels.get(name) != value
    ]
    terms = objects(
        spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"
    )
    if terms and not any(_matches(term, node) for term in terms):
        found.append("does not match the required node affinity")
    found += _states_against(node)
    tolerations = objects(spec, "tolerations")
    for taint in objects(node, "spec", "taints"):
        if taint.get("effect") == "PreferNoSchedule" or taint.get("key") in _SAID_ABOVE:
            continue
        if not any(_tolerates(each, taint) for each in tolerations):
            found.append(f"taint {taint.get('key')}={taint.get('value') or ''}:{taint.get('effect')} not tolerated")
    return found


def _states_against(node: Json) -> list[str]:
    """Why the node accepts no pod, whatever it requests."""
    found = ["is cordoned"] if at(node, "spec", "unschedulable") else []
    ready = [each for each in objects(node, "status", "conditions") if each.get("type") == "Ready"]
    if not ready or ready[0].get("status") != "True":
        found.append("is not ready")
    return found


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("key") not in (None, "", taint.get("key")):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def _matches(term: Json, node: Json) -> bool:
    """Whether the node meets every expression of the term; an empty term matches nothing."""
    labels = at(node, "metadata", "labels") or {}
    fields = {"metadata.name": name_of(node)}
    expressions = [(each, labels) for each in objects(term, "matchExpressions")]
    expressions += [(each, fields) for each in objects(term, "matchFields")]
    return bool(expressions) and all(_holds(expression, values) for expression, values in expressions)


def _holds(expression: Json, values: dict[str, str]) -> bool:
    value = values.get(str(expression.get("key")))
    allowed = expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return value in allowed
        case "NotIn":
            return value not in allowed
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and quantity(value) > quantity(allowed[0])
        case "Lt":
            return value is not None and quantity(value) < quantity(allowed[0])
    return False
