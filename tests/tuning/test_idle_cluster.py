"""What the watchdog says while no trial runs, from what Ray's autoscaler reports."""

import pytest
from ray.autoscaler.v2.schema import (
    ClusterStatus,
    LaunchRequest,
    PlacementGroupResourceDemand,
    RayTaskActorDemand,
    ResourceDemandSummary,
    ResourceRequestByCount,
)

from cifar_ray.progress.sweep_log import read_line
from cifar_ray.tuning.watchdog import STUCK_AFTER_S, describe_waiting

DEMANDS = ResourceDemandSummary(
    ray_task_actor_demand=[RayTaskActorDemand([ResourceRequestByCount({"GPU": 1.0, "CPU": 7.5}, 1)])],
    placement_group_demand=[
        PlacementGroupResourceDemand([ResourceRequestByCount({"CPU": 1.0}, 3)], details="1a:PACK|PENDING")
    ],
)


def launch(state: str, count: int = 1, details: str | None = None) -> LaunchRequest:
    return LaunchRequest("p3", "gpu", count, LaunchRequest.Status(state), 0, details=details)


@pytest.mark.parametrize(
    ("status", "waited_s", "line"),
    [
        (
            ClusterStatus(resource_demands=DEMANDS, pending_launches=[launch("PENDING", 2)]),
            2 * STUCK_AFTER_S,
            "waiting seconds=1200 asked for 1 x {CPU 7.5, GPU 1} and 3 x {CPU 1}; 2 nodes starting",
        ),
        (
            ClusterStatus(resource_demands=DEMANDS, failed_launches=[launch("FAILED", details="no capacity")]),
            STUCK_AFTER_S + 1,
            "stuck seconds=601 asked for 1 x {CPU 7.5, GPU 1} and 3 x {CPU 1}; no node is starting; "
            "the last could not start: no capacity",
        ),
        (
            ClusterStatus(
                resource_demands=ResourceDemandSummary(
                    placement_group_demand=[
                        PlacementGroupResourceDemand([ResourceRequestByCount({"CPU": 1.0}, 1)], details=f"{index}:PACK")
                        for index in range(500)
                    ]
                )
            ),
            30,
            "waiting seconds=30 asked for 500 x {CPU 1}; no node is starting",
        ),
        (ClusterStatus(), 30, "waiting seconds=30 asked for nothing that its nodes lack; no node is starting"),
    ],
)
def test_it_says_what_was_asked_for_and_what_is_starting(status: ClusterStatus, waited_s: float, line: str) -> None:
    waiting = describe_waiting(status, waited_s)
    assert waiting.to_line() == line
    assert read_line(line) == [waiting]
