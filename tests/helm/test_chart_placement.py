"""Pods find nodes that fit them, and keep them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import kubernetes_validate
import pytest
from chart import FOLDER, STORE, Chart, Json, cluster_specs, component, load_yaml, one, pod_templates
from renderings import EVERY_STUDY, EXAMPLES, RENDERINGS

from cifar_ray.tuning import remote

every_rendering = pytest.mark.parametrize("values", RENDERINGS.values(), ids=RENDERINGS)


@every_rendering
def test_no_node_is_emptied_under_a_head_a_worker_or_a_submitter(chart: Chart, values: dict[str, Any]) -> None:
    pods = [pod for manifest in chart.render(values) for pod in pod_templates(manifest)]
    for pod in (each for each in pods if component(each) in ("head", "worker", "submitter")):
        assert pod["metadata"]["annotations"] == {
            "karpenter.sh/do-not-disrupt": "true",
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        }


@pytest.mark.parametrize(("name", "says"), [("eks-spot", "disks of 100 GiB"), ("one-gpu-node", "disk of 150 GiB")])
def test_an_example_says_what_disks_its_pods_need(chart: Chart, name: str, says: str) -> None:
    """More than nodes of EKS have unless told otherwise; half of it at most, for the image has to fit beside."""
    spec = one(chart.render(EXAMPLES[name]), "RayCluster")["spec"]
    asked = [_disk(spec["headGroupSpec"]) + 1, *(_disk(each) for each in spec["workerGroupSpecs"])]
    wanted = sum(asked) if name == "one-gpu-node" else max(asked)
    assert says in (FOLDER / "examples" / f"{name}.yaml").read_text()
    assert 20 < wanted <= int(re.findall(r"\d+", says)[0]) / 2


def test_a_head_that_is_not_ready_holds_up_no_drain_where_kubernetes_can_be_told(chart: Chart) -> None:
    for version, policy in (("1.26.9", None), ("v1.27.3-eks-a5df82a", "AlwaysAllow")):
        done = chart.run(
            STORE, "sweeps", "--kube-version", version, "--show-only", "templates/poddisruptionbudget.yaml"
        )
        budget = load_yaml(done.stdout)
        assert budget["spec"].get("unhealthyPodEvictionPolicy") == policy
        kubernetes_validate.validate(budget, "1.27" if policy else "1.25", strict=True)


def _disk(group: Json) -> int:
    (container,) = group["template"]["spec"]["containers"]
    return int(container["resources"]["requests"]["ephemeral-storage"].removesuffix("Gi"))


def test_the_embedded_store_runs_where_the_head_may(chart: Chart) -> None:
    head = {"nodeSelector": {"pool": "system"}, "tolerations": [{"key": "system", "operator": "Exists"}]}
    store = one(chart.render({"objectStore": {"embedded": {"enabled": True}}, "head": head}), "StatefulSet")
    assert {name: store["spec"]["template"]["spec"][name] for name in head} == head


def test_the_pods_of_the_eks_example_find_no_arm_node(chart: Chart) -> None:
    pods = [pod["spec"] for each in chart.render(EXAMPLES["eks-spot"] | EVERY_STUDY) for pod in pod_templates(each)]
    assert pods
    assert {spec["nodeSelector"]["kubernetes.io/arch"] for spec in pods} == {"amd64"}


def test_one_tainted_node_is_enough_for_every_pod_of_its_example(chart: Chart) -> None:
    manifests = chart.render(EXAMPLES["one-gpu-node"] | {"studies": {"cnn": {"enabled": True}}})
    pods = {component(pod): pod["spec"] for manifest in manifests for pod in pod_templates(manifest)}
    assert set(pods) == {"head", "worker", "submitter", "test", "store"}
    for spec in pods.values():
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]


def test_a_null_that_removes_a_group_may_stay_among_the_values(chart: Chart) -> None:
    """As one does with `helm upgrade --reuse-values`; here helm keeps it since the chart has no such group."""
    spare = STORE | {"workerGroups": {"spare": None}}
    assert chart.render(spare) == chart.render(STORE)


def test_rays_autoscaler_gives_up_pods_that_find_no_node(chart: Chart) -> None:
    """Those of a pool without capacity, for another's, and those that nobody waits for any more."""
    options = one(chart.render(STORE), "RayCluster")["spec"]["autoscalerOptions"]
    code = (
        "from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig, InstanceReconcileConfig\n"
        "print(InstanceReconcileConfig().allocate_status_timeout_s)\n"
        "print(AutoscalingConfig.get_pending_idle_timeout_s(None))"
    )
    env = os.environ | {each["name"]: each["value"] for each in options["env"]}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    given_up_s, idle_s = (float(line) for line in done.stdout.split())
    assert (given_up_s, idle_s) == (1200, 120)
    assert 6 * given_up_s <= remote.DEADLINE_S, "an evaluation sees several pools out"


def test_pools_without_capacity_are_asked_in_turn(chart: Chart) -> None:
    """By Ray's own monitor and order, each one's priority above the next's; time passes by the rendered numbers."""
    pools = {name: {"priority": priority} for name, priority in (("a", 10), ("b", 5), ("c", 0))}
    values = STORE | {"workerGroups": {"gpu": None} | pools}
    options = one(chart.render(values), "RayCluster")["spec"]["autoscalerOptions"]
    code = """
import time, types
from ray.autoscaler.v2.instance_manager.config import InstanceReconcileConfig
from ray.autoscaler.v2.instance_manager.subscribers import cloud_resource_monitor

now = 1e9
cloud_resource_monitor.time = types.SimpleNamespace(time=lambda: now)
monitor, asked = cloud_resource_monitor.CloudResourceMonitor(), []
for _ in range(6):
    scores = monitor.get_recoverable_resource_availabilities()
    chosen = max("abc", key=lambda name: (scores.get(name, 1.0), -ord(name)))
    asked.append(chosen)
    now += InstanceReconcileConfig().allocate_status_timeout_s
    monitor.allocation_timeout(types.SimpleNamespace(instance_type=chosen))
print(*asked)
"""
    env = os.environ | {each["name"]: each["value"] for each in options["env"]}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == list("abcabc")


def test_an_evaluation_has_time_for_a_node_once_it_waits_no_longer(chart: Chart) -> None:
    own = {"enabled": True, "sweeps": ["cnn-1"]}
    for more in ({}, {"activeDeadlineSeconds": 40_000}):
        job = one(chart.render(STORE | {"studies": {"evaluate": own | more}}), "RayJob")["spec"]
        (wait,) = job["submitterPodTemplate"]["spec"]["initContainers"]
        left_s = job["activeDeadlineSeconds"] - int(wait["command"][-1])
        assert left_s == remote.DEADLINE_S + 1800
    sweeps = one(chart.render(STORE | {"studies": {"cnn": {"enabled": True}}}), "RayJob")["spec"]
    job = one(chart.render(STORE | {"studies": {"evaluate": own}}), "RayJob")["spec"]
    assert job["activeDeadlineSeconds"] - left_s > sweeps["activeDeadlineSeconds"], "it sees the sweeps out"


@every_rendering
def test_pods_without_accelerators_see_none(chart: Chart, values: dict[str, Any]) -> None:
    """NVIDIA's runtime, where it is a node's default, gives an image that asks all of them; Ray would count them."""
    for manifest in chart.render(values):
        for pod in (each for each in pod_templates(manifest) if component(each) != "store"):
            for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
                hides = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in container["env"]
                assert hides is not _has_gpus(container)
        for spec in cluster_specs(manifest):
            for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
                (container,) = group["template"]["spec"]["containers"]
                assert group["rayStartParams"].get("num-gpus") == (None if _has_gpus(container) else "0")


def _has_gpus(container: Json) -> bool:
    return any(name.endswith("gpu") for name in container["resources"]["limits"])
