"""Renders `cluster/ray*.yaml` from the chart: `make specs` writes them, a test compares."""

from __future__ import annotations

import yaml
from chart import REPOSITORY, ROOT, Chart, Json, one
from helm_binary import find_helm

FOLDER = ROOT / "cluster"
RELEASE = "cifar-ray"
SWEEPS = ("cnn",)
VALUES: Json = {
    "image": {"repository": REPOSITORY},
    "objectStore": {"uri": "s3://my-bucket/cifar-ray", "existingSecret": "s3-keys"},
    "studies": {each: {"enabled": True, "sweepId": f"{each}-1"} for each in SWEEPS} | {"evaluate": {"enabled": True}},
}
_COMMENT = """# kubectl apply --filename cluster/{name}
#
# {duty}
# Rendered from helm/cifar-ray by `make specs`. Edit the image (registry.example.com/cifar-ray, of the Dockerfile),
# the place of the results (s3://my-bucket/cifar-ray) and {more}.
"""
_CLUSTER = """A Ray cluster with GPU workers. Its store's keys first:
# kubectl create secret generic s3-keys --from-literal=AWS_ACCESS_KEY_ID=... --from-literal=AWS_SECRET_ACCESS_KEY=...
# Where the pods or nodes have a role, take envFrom out; if a metadata server gives it, open cifar-ray-all to that."""
_SWEEP = "Sweeps the study {study} on the cluster of raycluster.gpu.yaml; tried again, goes on where it was."
_EVALUATE = "Waits for the sweeps, scores their winners on the test set once, writes the report."
_HELMS_OWN = ("helm.sh/chart", "app.kubernetes.io/managed-by")


def specs(chart: Chart) -> dict[str, str]:
    """The text of each file, by name."""
    manifests = chart.render(VALUES, RELEASE)
    name = "raycluster.gpu.yaml"
    cluster = [each for each in manifests if each["kind"] not in ("RayJob", "Pod")]
    more = "the workers' accelerators, numbers and sizes"
    texts = {name: _COMMENT.format(name=name, duty=_CLUSTER, more=more) + _dump(cluster)}
    for study in (*SWEEPS, "evaluate"):
        name = f"rayjob.{study}.yaml"
        duty = _SWEEP.format(study=study) if study in SWEEPS else _EVALUATE
        more = (
            "the sweep's id, which stands here twice: another starts afresh.\n"
            "# The submitter runs the words after its two numbers; `entrypoint` is only shown. Change both.\n"
            "# Another study: its script of jobs/ in both places, an id and a job's name of its own"
            if study in SWEEPS
            else "the sweeps' ids, which stand here three times: the submitter's are those that count"
        )
        job = one(manifests, "RayJob", f"{RELEASE}-{study}")
        texts[name] = _COMMENT.format(name=name, duty=duty, more=more) + _dump([job])
    return texts


class _Dumper(yaml.SafeDumper):
    """Text of several lines as a block, no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _dump(manifests: list[Json]) -> str:
    return "".join("---\n" + yaml.dump(_plain(each), Dumper=_Dumper, sort_keys=False, width=120) for each in manifests)


def _plain(manifest: Json) -> Json:
    """Without the labels that say that Helm installed it."""
    metadata = manifest["metadata"]
    labels = {name: value for name, value in metadata["labels"].items() if name not in _HELMS_OWN}
    return manifest | {"metadata": metadata | {"labels": labels}}


if __name__ == "__main__":
    for name, text in specs(Chart(find_helm())).items():
        (FOLDER / name).write_text(text)
