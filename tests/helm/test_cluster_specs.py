"""The specs for `kubectl apply` are the chart's, and what KubeRay takes."""

from __future__ import annotations

import cluster_specs
import kuberay_crds
import kuberay_rules
import pytest
import yaml
from chart import Chart

NAMES = ["raycluster.gpu.yaml", *(f"rayjob.{study}.yaml" for study in (*cluster_specs.SWEEPS, "evaluate"))]


def test_there_is_a_file_for_each_rendering(chart: Chart) -> None:
    assert list(cluster_specs.specs(chart)) == NAMES
    assert {path.name for path in cluster_specs.FOLDER.glob("ray*.yaml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_what_the_chart_renders(chart: Chart, name: str) -> None:
    assert (cluster_specs.FOLDER / name).read_text() == cluster_specs.specs(chart)[name], "run `make specs`"


@pytest.mark.parametrize("name", NAMES)
def test_kuberay_takes_a_file(name: str) -> None:
    text = (cluster_specs.FOLDER / name).read_text()
    assert text.startswith(f"# kubectl apply --filename cluster/{name}\n")
    manifests = [each for each in yaml.safe_load_all(text) if each["kind"] in kuberay_crds.KINDS]
    assert manifests
    for manifest in manifests:
        assert kuberay_crds.problems(manifest) == []
        # kubectl's --namespace says where
        assert "namespace" not in manifest["metadata"]
        assert kuberay_rules.violations(manifest) == []
