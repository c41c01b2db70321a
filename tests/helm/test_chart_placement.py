"""Pods find nodes that fit them, and keep them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from chart import FOLDER, Chart, Json, component, one, pod_templates
from renderings import EXAMPLES, RENDERINGS

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
    """More than the nodes of a cloud have unless told otherwise; half of it at most, for the image has to fit beside."""
    spec = one(chart.render(EXAMPLES[name]), "RayCluster")["spec"]
    asked = [_disk(spec["headGroupSpec"]) + 1, *(_disk(each) for each in spec["workerGroupSpecs"])]
    wanted = sum(asked) if name == "one-gpu-node" else max(asked)
    assert says in (FOLDER / "examples" / f"{name}.yaml").read_text()
    assert 20 < wanted <= int(re.findall(r"\d+", says)[0]) / 2


def _disk(group: Json) -> int:
    (container,) = group["template"]["spec"]["containers"]
    return int(container["resources"]["requests"]["ephemeral-storage"].removesuffix("Gi"))
