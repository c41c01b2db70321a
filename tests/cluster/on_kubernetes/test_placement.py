from decimal import Decimal
from typing import Any

import pytest
from recorded import node, pod, template

from cifar_ray.cluster.on_kubernetes.placement import demand, fit, with_usage

TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}


def spec(*, gpus: int = 1, **others: Any) -> dict[str, Any]:
    made: dict[str, Any] = template(gpus=gpus, **others)["spec"]
    return made


def missing(wanted: dict[str, Any], *nodes: dict[str, Any]) -> tuple[str, ...]:
    return fit(wanted, with_usage(nodes, [])).missing


def test_a_pod_asks_for_its_containers_sidecars_and_overhead_or_its_largest_start() -> None:
    def container(cpu: str, **others: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}} | others

    asked = demand(
        {
            "containers": [container("1"), container("500m"), {"resources": {"limits": {"memory": "1Gi"}}}],
            "initContainers": [container("250m", restartPolicy="Always"), container("1")],
            "overhead": {"cpu": "100m"},
        }
    )
    assert asked == {"cpu": Decimal("1.85"), "memory": 2**30, "pods": 1}
    assert demand({"containers": [container("1")], "initContainers": [container("3")]})["cpu"] == 3


def test_counts_how_many_more_pods_fit_beside_those_that_run() -> None:
    nodes = [node("gpu-1", gpus=4), node("gpu-2", gpus=1), node("cpu-1")]
    running = [pod("a", group="g", node_name="gpu-1", gpus=1), pod("b", group="g", node_name="gpu-2", gpus=1)]
    ended = pod("c", group="g", node_name="gpu-1", gpus=3)
    ended["status"]["phase"] = "Succeeded"
    found = fit(spec(), with_usage(nodes, [*running, ended]))
    # gpu-1: 3 GPUs are free, but of 15.89 CPUs less 4 only two times 4
    assert (found.room, found.when_empty) == (2, ("gpu-1", "gpu-2"))
    assert found.missing == ("1 of 3 nodes: has 0 nvidia.com/gpu, the pod needs 1 nvidia.com/gpu",)


def test_names_what_each_node_lacks_the_most_common_first() -> None:
    small = node("small", gpus=1, cpu="2")
    assert missing(spec(), small, node("cpu-1"), node("cpu-2")) == (
        "2 of 3 nodes: has 0 nvidia.com/gpu, the pod needs 1 nvidia.com/gpu",
        "1 of 3 nodes: has 2 cpu, the pod needs 4 cpu",
    )


@pytest.mark.parametrize(
    ("toleration", "is_enough"),
    [
        (None, False),
        ({"key": "sku", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "sku", "value": "gpu"}, True),
        ({"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}, True),
        ({"key": "sku", "value": "cpu"}, False),
        ({"key": "sku", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_taints_and_tolerations(toleration: dict[str, str] | None, is_enough: bool) -> None:
    tolerations = [toleration] if toleration else []
    found = missing(spec(tolerations=tolerations), node("gpu-1", gpus=1, taints=[TAINT]))
    assert found == (() if is_enough else ("1 of 1 nodes: taint sku=gpu:NoSchedule not tolerated",))


def test_a_taint_that_merely_discourages_counts_for_nothing() -> None:
    assert missing(spec(), node("n", gpus=1, taints=[TAINT | {"effect": "PreferNoSchedule"}])) == ()


def test_node_selectors() -> None:
    wanted = spec(nodeSelector={"accelerator": "a100"})
    assert missing(wanted, node("n", gpus=1, labels={"accelerator": "a100"})) == ()
    assert missing(wanted, node("n", gpus=1, labels={"accelerator": "t4"})) == (
        "1 of 1 nodes: label accelerator is 't4', not 'a100'",
    )
    assert missing(wanted, node("n", gpus=1)) == ("1 of 1 nodes: no label accelerator=a100",)


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ({"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "zone", "operator": "In", "values": ["b"]}, False),
        ({"key": "zone", "operator": "NotIn", "values": ["b"]}, True),
        ({"key": "zone", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "zone", "operator": "Exists"}, True),
        ({"key": "none", "operator": "Exists"}, False),
        ({"key": "none", "operator": "DoesNotExist"}, True),
        ({"key": "zone", "operator": "DoesNotExist"}, False),
        ({"key": "memory", "operator": "Gt", "values": ["40"]}, True),
        ({"key": "memory", "operator": "Gt", "values": ["80"]}, False),
        ({"key": "memory", "operator": "Lt", "values": ["80"]}, False),
        ({"key": "zone", "operator": "Unheard"}, False),
    ],
)
def test_required_node_affinity(expression: dict[str, Any], matches: bool) -> None:
    def wanted(*terms: dict[str, Any]) -> dict[str, Any]:
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
        return spec(affinity={"nodeAffinity": required})

    here = node("n", gpus=1, labels={"zone": "a", "memory": "80"})
    refused = ("1 of 1 nodes: does not match the required node affinity",)
    assert missing(wanted({"matchExpressions": [expression]}), here) == (() if matches else refused)
    # any term will do; in one, all expressions must hold
    other = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}
    assert missing(wanted({"matchExpressions": [expression]}, other), here) == ()
    assert missing(wanted({"matchExpressions": [expression]} | other), here) == (() if matches else refused)
    assert missing(wanted({}), here) == refused


def test_nodes_that_take_no_pods() -> None:
    cordoned, ill = node("n", gpus=1), node("m", gpus=1)
    cordoned["spec"]["unschedulable"] = True
    cordoned["spec"]["taints"] = [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]
    ill["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    assert missing(spec(), cordoned, ill) == ("1 of 2 nodes: is cordoned", "1 of 2 nodes: is not ready")


def test_a_node_holds_so_many_pods_and_no_more() -> None:
    full = node("n", gpus=8, cpu="100")
    full["status"]["allocatable"]["pods"] = "2"
    assert fit(spec(), with_usage([full], [])).room == 2
