"""Renders the chart with a real helm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "helm" / "cifar-ray"
STORE = {"objectStore": {"uri": "s3://bucket/prefix"}}
KUBE_VERSION = "1.25.0"
"""The oldest that the chart takes."""
REPOSITORY = "registry.example.com/cifar-ray"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str) -> Any:
    return yaml.load(text, _LOADER)


@dataclass
class Chart:
    """The chart and the helm that renders it; a rendering is made once."""

    helm: Path
    made: dict[str, list[Json]] = field(default_factory=dict)

    def render(self, values: dict[str, Any], release: str = "sweeps") -> list[Json]:
        """The manifests, in helm's order."""
        key = json.dumps([release, values], sort_keys=True)
        if key not in self.made:
            done = self.run(values, release)
            assert done.returncode == 0, done.stderr
            documents = yaml.load_all(done.stdout, _LOADER)
            self.made[key] = [each for each in documents if each]
        return self.made[key]

    def refusal(self, values: dict[str, Any], release: str = "sweeps") -> str:
        """What helm says against the values."""
        done = self.run(values, release)
        assert done.returncode, "helm took the values"
        return done.stderr

    def run(
        self, values: dict[str, Any], release: str = "sweeps", *more: str, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """`helm template` with the values, and an image where they name none."""
        command = [str(self.helm), "template", release, str(FOLDER), "--namespace", "ml", "--values", "-"]
        command += ["--kube-version", KUBE_VERSION, *more]
        text = json.dumps(values | {"image": {"repository": REPOSITORY} | values.get("image", {})})
        return subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=60, check=False, env=environ or None
        )


def one(manifests: list[Json], kind: str, name: str | None = None) -> Json:
    """The only manifest of the kind, or of kind and name."""
    found = [each for each in manifests if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    assert len(found) == 1, [each["metadata"]["name"] for each in found]
    return found[0]


def cluster_specs(manifest: Json) -> Iterator[Json]:
    """The specs of Ray clusters in a manifest."""
    if manifest["kind"] == "RayCluster":
        yield manifest["spec"]
    elif manifest["kind"] == "RayJob" and "rayClusterSpec" in manifest["spec"]:
        yield manifest["spec"]["rayClusterSpec"]


def pod_templates(manifest: Json) -> Iterator[Json]:
    """Every pod or pod template in a manifest."""
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "Pod":
        yield manifest
    elif "template" in spec:
        yield spec["template"]
    if "submitterPodTemplate" in spec:
        yield spec["submitterPodTemplate"]
    for cluster in cluster_specs(manifest):
        for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
            yield group["template"]


def component(pod: Json) -> str:
    """What the pod is: head, worker, submitter, test or store."""
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])
