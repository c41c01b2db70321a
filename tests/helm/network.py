"""Which connections a set of NetworkPolicies lets through, as Kubernetes defines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

Json = dict[str, Any]
Labels = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One end of a connection: a pod of a namespace, or an address outside."""

    labels: Labels | None = None
    """None for an address that is no pod's."""
    namespace: str = "ml"
    address: str = "203.0.113.1"


def allows(policies: Sequence[Json], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether `source` reaches `target`: both sides must let it, a side that no policy selects lets all."""
    return _side(policies, source, target, port, protocol, "Egress") and _side(
        policies, target, source, port, protocol, "Ingress"
    )


def _side(policies: Sequence[Json], own: Peer, other: Peer, port: int, protocol: str, kind: str) -> bool:
    if own.labels is None or own.namespace != "ml":
        return True
    mine = [each["spec"] for each in policies if kind in each["spec"]["policyTypes"]]
    mine = [spec for spec in mine if selects(spec["podSelector"], own.labels)]
    rules = [rule for spec in mine for rule in spec.get(kind.lower()) or []]
    side = "to" if kind == "Egress" else "from"
    return not mine or any(_rule(rule, side, other, port, protocol) for rule in rules)


def _rule(rule: Json, side: str, other: Peer, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    if ports and (port, protocol) not in [(int(each["port"]), each.get("protocol", "TCP")) for each in ports]:
        return False
    return side not in rule or any(_peer(each, other) for each in rule[side])


def _peer(peer: Json, other: Peer) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        holes = [ip_network(each) for each in block.get("except", [])]
        address = ip_address(other.address)
        return address in ip_network(block["cidr"]) and not any(address in hole for hole in holes)
    if other.labels is None:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace}):
            return False
    elif other.namespace != "ml":
        return False
    return "podSelector" not in peer or selects(peer["podSelector"], other.labels)


def selects(selector: Json, labels: Labels) -> bool:
    """Whether a label selector matches; an empty one matches all."""
    if any(labels.get(name) != value for name, value in selector.get("matchLabels", {}).items()):
        return False
    for each in selector.get("matchExpressions", []):
        assert each["operator"] == "In"
        if labels.get(each["key"]) not in each["values"]:
            return False
    return True
