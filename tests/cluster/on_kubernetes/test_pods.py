from typing import Any

import pytest
from fake_kubernetes import FakeKubernetes, refusal
from recorded import TEAM, pod

from cifar_ray.cluster.on_kubernetes.api import KubernetesApi
from cifar_ray.cluster.on_kubernetes.pods import is_ready, why_not_ready


def waiting(reason: str, message: str = "", kind: str = "containerStatuses") -> dict[str, Any]:
    return {kind: [{"state": {"running": {}}}, {"state": {"waiting": {"reason": reason, "message": message}}}]}


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (waiting("ImagePullBackOff", 'Back-off pulling image "x"'), 'ImagePullBackOff: Back-off pulling image "x"'),
        (waiting("CrashLoopBackOff", kind="initContainerStatuses"), "CrashLoopBackOff"),
        (
            waiting("CreateContainerConfigError", 'secret "s3-keys" not found'),
            'CreateContainerConfigError: secret "s3-keys" not found',
        ),
        ({"phase": "Failed", "reason": "Evicted"}, "has ended: Evicted"),
        ({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/2"}]}, "not scheduled: 0/2"),
        ({}, "is not ready yet"),
    ],
)
def test_says_why_a_pod_does_not_run(status: dict[str, Any], why: str, api: KubernetesApi) -> None:
    stuck = pod("p", group="a100")
    stuck["status"] |= status
    assert not is_ready(stuck)
    assert why_not_ready(api, stuck) == why


def test_asks_the_events_where_the_status_says_nothing(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    stuck = pod("p", group="a100")
    stuck["status"] |= waiting("ContainerCreating")

    def event(name: str, kind: str, message: str, at: str) -> dict[str, Any]:
        involved = {"kind": "Pod", "name": name}
        return {"involvedObject": involved, "type": kind, "reason": "R", "message": message, "lastTimestamp": at}

    kubernetes.objects[f"{TEAM}/events"] = [
        event("p", "Warning", "old", "2026-01-01T00:00:00Z"),
        event("p", "Warning", 'volume: secret "x" not found', "2026-01-02T00:00:00Z"),
        event("p", "Normal", "pulled", "2026-01-03T00:00:00Z"),
        event("q", "Warning", "another's", "2026-01-04T00:00:00Z"),
    ]
    assert why_not_ready(api, stuck) == 'R: volume: secret "x" not found'
    kubernetes.objects[f"{TEAM}/events"] = []
    assert why_not_ready(api, stuck) == "ContainerCreating"
    kubernetes.answers[f"{TEAM}/events"] = lambda _: refusal(403, "Forbidden", "events is forbidden")
    assert why_not_ready(api, stuck) == "ContainerCreating", "who may read pods may not read events everywhere"


def test_a_pod_that_is_being_deleted_is_not_ready(api: KubernetesApi) -> None:
    going = pod("p", group="a100", node_name="n")
    assert is_ready(going)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not is_ready(going)
    assert why_not_ready(api, going) == "is being deleted"
