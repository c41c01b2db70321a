"""Who reaches whom under the chart's NetworkPolicies."""

from __future__ import annotations

from typing import Any

import pytest
from chart import STORE, Chart, Json, component, pod_templates
from network import Peer, allows
from renderings import EVERY_STUDY, EXAMPLES, RENDERINGS

OUTSIDE = Peer()
STRANGER = Peer(labels={"app": "other"})
OPERATOR = Peer(labels={"app.kubernetes.io/component": "kuberay-operator"}, namespace="kuberay")
PROMETHEUS = Peer(labels={"app": "prometheus"}, namespace="monitoring")
MINIO = Peer(labels={"app": "minio"}, namespace="minio", address="10.0.0.9")
METADATA = Peer(address="169.254.169.254")
METADATA_V6 = Peer(address="fd00:ec2::254")
DNS = Peer(labels={"k8s-app": "kube-dns"}, namespace="kube-system", address="10.0.0.10")

BASE = STORE | EVERY_STUDY
EMBEDDED = {"objectStore": {"embedded": {"enabled": True}}, "data": {"source": "shapes"}} | EVERY_STUDY
PLAIN = {"objectStore": {"uri": "s3://bucket", "endpoint": "http://minio.example.com"}} | EVERY_STUDY
SHAPES = BASE | {"data": {"source": "shapes"}}
MONITORED = RENDERINGS["all monitoring"]
REDIS = RENDERINGS["redis"]


def _peers(manifests: list[Json]) -> dict[str, Peer]:
    pods = (pod for manifest in manifests for pod in pod_templates(manifest))
    return {component(pod): Peer(labels=pod["metadata"]["labels"]) for pod in pods} | {
        "outside": OUTSIDE,
        "stranger": STRANGER,
        "operator": OPERATOR,
        "false operator": Peer(labels=OPERATOR.labels, namespace="elsewhere"),
        "prometheus": PROMETHEUS,
        "minio": MINIO,
        "dns": DNS,
        "metadata": METADATA,
        "metadata by IPv6": METADATA_V6,
    }


@pytest.mark.parametrize(
    ("values", "source", "target", "port"),
    [
        (BASE, "worker", "head", 6379),
        (BASE, "head", "worker", 10002),
        (BASE, "worker", "worker", 20000),
        (BASE, "submitter", "head", 8265),
        (BASE, "test", "head", 8265),
        (BASE, "operator", "head", 8265),
        (BASE, "head", "outside", 6443),
        (BASE, "worker", "outside", 443),
        (BASE, "submitter", "outside", 443),
        (BASE, "worker", "dns", 53),
        (EMBEDDED, "worker", "store", 8333),
        (EMBEDDED, "submitter", "store", 8333),
        (EMBEDDED, "test", "store", 8333),
        (MONITORED, "prometheus", "worker", 8080),
        (MONITORED, "prometheus", "head", 44217),
        (REDIS, "head", "outside", 6380),
        (EXAMPLES["on-premises"], "worker", "minio", 9000),
        (RENDERINGS["narrow policies"], "worker", "outside", 443),
        (RENDERINGS["narrow policies"], "worker", "metadata", 80),
        (PLAIN, "worker", "outside", 80),
        (RENDERINGS["no policies"], "stranger", "head", 6379),
    ],
)
def test_is_let_through(chart: Chart, values: dict[str, Any], source: str, target: str, port: int) -> None:
    manifests = chart.render(values)
    peers = _peers(manifests)
    assert allows(_policies(manifests), peers[source], peers[target], port)


@pytest.mark.parametrize(
    ("values", "source", "target", "port"),
    [
        (BASE, "stranger", "head", 8265),
        (BASE, "stranger", "head", 6379),
        (BASE, "stranger", "worker", 10002),
        (BASE, "outside", "head", 8265),
        (BASE, "submitter", "head", 6379),
        (BASE, "submitter", "worker", 10002),
        (BASE, "operator", "head", 6379),
        (BASE, "operator", "worker", 8265),
        (BASE, "prometheus", "worker", 8080),
        (BASE, "worker", "stranger", 444),
        (BASE, "worker", "outside", 6443),
        (BASE, "worker", "outside", 80),
        (PLAIN, "worker", "metadata", 80),
        (PLAIN, "worker", "metadata by IPv6", 80),
        (PLAIN, "submitter", "metadata", 80),
        (BASE, "stranger", "submitter", 8265),
        (MONITORED, "stranger", "worker", 8080),
        (MONITORED, "prometheus", "worker", 6379),
        (REDIS, "worker", "outside", 6380),
        (EMBEDDED, "stranger", "store", 8333),
        (EMBEDDED, "worker", "store", 9333),
        (EMBEDDED, "worker", "outside", 443),
        (EXAMPLES["on-premises"], "worker", "outside", 443),
        (EXAMPLES["on-premises"], "worker", "minio", 9001),
        (RENDERINGS["narrow policies"], "false operator", "head", 8265),
    ],
)
def test_is_kept_out(chart: Chart, values: dict[str, Any], source: str, target: str, port: int) -> None:
    manifests = chart.render(values)
    peers = _peers(manifests)
    assert not allows(_policies(manifests), peers[source], peers[target], port)


def test_dns_takes_both_protocols(chart: Chart) -> None:
    manifests = chart.render(BASE)
    assert allows(_policies(manifests), _peers(manifests)["worker"], DNS, 53, "UDP")
    assert not allows(_policies(manifests), _peers(manifests)["worker"], DNS, 54, "UDP")


def _policies(manifests: list[Json]) -> list[Json]:
    return [each for each in manifests if each["kind"] == "NetworkPolicy"]
