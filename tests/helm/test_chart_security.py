"""Every pod of every rendering meets the restricted standard, unless the values say otherwise."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pod_security
import pytest
from chart import STORE, Chart, cluster_specs, component, one, pod_templates
from ray.autoscaler._private.kuberay import node_provider
from renderings import EVERY_STUDY, RELAXED, RENDERINGS

every_rendering = pytest.mark.parametrize("values", RENDERINGS.values(), ids=RENDERINGS)


@every_rendering
def test_every_pod_is_restricted(chart: Chart, values: dict[str, Any]) -> None:
    pods = [pod for manifest in chart.render(values) for pod in pod_templates(manifest)]
    assert {"head", "worker", "test"} & {component(pod) for pod in pods}
    for pod in pods:
        assert pod_security.violations(pod) == []
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert set(container["resources"]["limits"]) >= {"cpu", "memory", "ephemeral-storage"}
            assert container["resources"]["limits"] == container["resources"]["requests"]


@every_rendering
def test_the_autoscaler_beside_the_head_is_too(chart: Chart, values: dict[str, Any]) -> None:
    """KubeRay adds that container to the head's pod."""
    for spec in (each for manifest in chart.render(values) for each in cluster_specs(manifest)):
        if spec["enableInTreeAutoscaling"]:
            head, options = spec["headGroupSpec"]["template"]["spec"], spec["autoscalerOptions"]
            added = {"name": "autoscaler", "securityContext": options["securityContext"]}
            assert pod_security.violations({"spec": head | {"containers": [added]}}) == []
            assert options["securityContext"]["readOnlyRootFilesystem"] is True
            assert {each["name"] for each in options["volumeMounts"]} <= {each["name"] for each in head["volumes"]}


@every_rendering
def test_all_that_ray_writes_has_room_beside_the_root(chart: Chart, values: dict[str, Any]) -> None:
    for pod in (each for manifest in chart.render(values) for each in pod_templates(manifest)):
        if component(pod) == "store":
            continue
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            mounts = {each["mountPath"]: volumes[each["name"]]["emptyDir"] for each in container["volumeMounts"]}
            env = {each["name"]: each.get("value") for each in container["env"]}
            assert {"/tmp", env["HOME"]} <= set(mounts)
            assert str(env["CIFAR_RAY_HOME"]).startswith(f"{env['HOME']}/")
            if component(pod) in ("head", "worker"):
                # Ray wants 30 % of the container's memory there, else its object store goes to the disk
                assert mounts["/dev/shm"] == {
                    "medium": "Memory",
                    "sizeLimit": container["resources"]["limits"]["memory"],
                }


@every_rendering
def test_only_the_autoscaler_may_talk_to_kubernetes(chart: Chart, values: dict[str, Any]) -> None:
    for manifest in chart.render(values):
        for pod in pod_templates(manifest):
            assert pod["spec"]["automountServiceAccountToken"] is False
            for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
                assert "api-access" not in {each["name"] for each in container["volumeMounts"]}
        for spec in cluster_specs(manifest):
            volumes = {each["name"]: each for each in spec["headGroupSpec"]["template"]["spec"]["volumes"]}
            assert ("api-access" in volumes) is spec["enableInTreeAutoscaling"]
            if spec["enableInTreeAutoscaling"]:
                sources = volumes["api-access"]["projected"]["sources"]
                items = [item for each in sources for kind in each.values() for item in kind.get("items", [kind])]
                folder = PurePosixPath(spec["autoscalerOptions"]["volumeMounts"][-1]["mountPath"])
                files = {str(folder / item["path"]) for item in items}
                assert files >= {node_provider.IN_CLUSTER_TOKEN_PATH, node_provider.IN_CLUSTER_CA_CERT_PATH}


@every_rendering
def test_nothing_is_open_to_the_outside(chart: Chart, values: dict[str, Any]) -> None:
    manifests = chart.render(values)
    assert not {"Ingress", "Route", "HTTPRoute", "ClusterRole", "Role"} & {each["kind"] for each in manifests}
    for each in manifests:
        if each["kind"] == "Service":
            assert each["spec"].get("type", "ClusterIP") == "ClusterIP"
        for spec in cluster_specs(each):
            assert not {"serviceType", "enableIngress", "headService"} & set(spec["headGroupSpec"])


@every_rendering
def test_ray_asks_for_a_token_unless_told_not_to(chart: Chart, values: dict[str, Any]) -> None:
    wanted = "disabled" if "auth" in values else "token"
    for spec in (each for manifest in chart.render(values) for each in cluster_specs(manifest)):
        assert spec["authOptions"] == {"mode": wanted}


@every_rendering
def test_no_variable_holds_a_key(chart: Chart, values: dict[str, Any]) -> None:
    for pod in (each for manifest in chart.render(values) for each in pod_templates(manifest)):
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            for variable in container.get("env", []):
                secret = any(each in variable["name"] for each in ("KEY", "TOKEN", "SECRET"))
                assert not (secret and "value" in variable)


SWITCHES = [
    ({"runAsNonRoot": False}, {"runAsNonRoot"}),
    ({"runAsNonRoot": False, "runAsUser": 0}, {"runAsNonRoot", "runAsUser 0"}),
    ({"seccompProfile": ""}, {"seccompProfile"}),
    ({"seccompProfile": "Unconfined"}, {"seccompProfile"}),
    ({"allowPrivilegeEscalation": True}, {"allowPrivilegeEscalation"}),
    ({"dropCapabilities": False}, {"capabilities"}),
]


@pytest.mark.parametrize(("security", "found"), SWITCHES)
def test_each_protection_can_be_switched_off(chart: Chart, security: dict[str, Any], found: set[str]) -> None:
    values = {"objectStore": {"embedded": {"enabled": True}}, "security": security} | EVERY_STUDY
    for pod in (each for manifest in chart.render(values) for each in pod_templates(manifest)):
        said = pod_security.violations(pod)
        assert {each for each in found if any(each in one for one in said)} == found
        assert all(any(each in one for each in found) for one in said)


def test_openshift_sets_users_and_profile_itself(chart: Chart) -> None:
    for pod in (each for manifest in chart.render(RELAXED) for each in pod_templates(manifest)):
        assert pod["spec"]["securityContext"] == {"runAsNonRoot": False}
        for container in pod["spec"]["containers"]:
            context = {"allowPrivilegeEscalation": True, "readOnlyRootFilesystem": False}
            assert container["securityContext"] == context


def test_the_heads_disruption_budget_is_of_the_head(chart: Chart) -> None:
    selector = one(chart.render(STORE), "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert selector == {"ray.io/cluster": "sweeps-cifar-ray", "ray.io/node-type": "head"}


def test_pods_keep_the_label_that_kuberays_services_select_by(chart: Chart) -> None:
    manifests = chart.render(RENDERINGS["every study on its own cluster"])
    for pod in (each for manifest in manifests for each in pod_templates(manifest)):
        if component(pod) in ("head", "worker"):
            assert "app.kubernetes.io/name" not in pod["metadata"]["labels"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "volume v"),
        (
            {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, "sysctls": []}},
            "sysctls",
        ),
    ],
)
def test_the_standard_finds_a_bad_pod(chart: Chart, change: dict[str, Any], found: str) -> None:
    (pod,) = pod_templates(one(chart.render(STORE), "Pod", "sweeps-cifar-ray-check-store"))
    assert found in pod_security.violations(pod | {"spec": pod["spec"] | change})


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"privileged": True}, "privileged"),
        ({"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}, "capabilities"),
        ({"runAsUser": 0}, "runAsUser 0"),
    ],
)
def test_the_standard_finds_a_bad_container(chart: Chart, change: dict[str, Any], found: str) -> None:
    (pod,) = pod_templates(one(chart.render(STORE), "Pod", "sweeps-cifar-ray-check-store"))
    (container,) = pod["spec"]["containers"]
    bad = container | {"securityContext": container["securityContext"] | change}
    assert any(found in each for each in pod_security.violations({"spec": pod["spec"] | {"containers": [bad]}}))
