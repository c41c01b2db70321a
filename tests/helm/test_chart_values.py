"""Every value is documented, and known to the schema."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import jsonschema
import pytest
import values_table
import yaml
from chart import FOLDER, ROOT, STORE, Chart, component, load_yaml, one, pod_templates
from renderings import EXAMPLES, RENDERINGS

from cifar_ray.studies import STUDIES

VALUES = load_yaml((FOLDER / "values.yaml").read_text())
SCHEMA = json.loads((FOLDER / "values.schema.json").read_text())


def test_the_readmes_table_is_that_of_the_values() -> None:
    readme = values_table.README.read_text()
    assert readme == values_table.with_table(readme), "python tests/helm/values_table.py"


def test_every_value_says_what_it_does() -> None:
    said = values_table.comments((FOLDER / "values.yaml").read_text())
    assert [path for path, _ in values_table.leaves(VALUES) if not said[path]] == []


def test_the_schema_knows_the_same_values() -> None:
    assert dict(_unlike(SCHEMA, VALUES, "")) == {
        # their defaults are workerDefaults' and studyDefaults'
        **{f"studies.{name}": "only in the schema" for name in (*STUDIES, "evaluate")},
    }
    jsonschema.Draft202012Validator(SCHEMA).validate(VALUES)


def _unlike(schema: dict[str, Any], value: Any, path: str) -> list[tuple[str, str]]:
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    known = schema.get("properties")
    if known is None:
        return []
    assert schema["additionalProperties"] is False, path
    found = [(path, "only in the values")] if set(value) - set(known) else []
    found += [(path, "only in the schema")] if set(known) - set(value) else []
    for name in set(known) & set(value):
        found += _unlike(known[name], value[name], f"{path}.{name}".lstrip("."))
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_examples_first_line_is_the_command_that_uses_it(chart: Chart, name: str) -> None:
    path = FOLDER / "examples" / f"{name}.yaml"
    relative = path.relative_to(ROOT)
    hash_, helm, install, *words = path.read_text().splitlines()[0].split()
    assert (hash_, helm, install) == ("#", "helm", "install")
    assert f"--values {relative}" in " ".join(words)
    assert f"examples/{name}.yaml" in values_table.README.read_text()
    # names that are the reader's to fill in
    command = [str(chart.helm), "template", *(each.replace("BUCKET", "my-bucket") for each in words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads((FOLDER / "dashboards" / "sweeps.json").read_text())
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert titles[:3] == ["Trials by state", "Best validation accuracy", "Images per second"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(titles)
    ours = {
        word
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for word in re.findall(r"ray_cifar_ray_\w+", target["expr"])
    }
    assert ours == {
        "ray_cifar_ray_trials",
        "ray_cifar_ray_best_validation_accuracy",
        "ray_cifar_ray_epochs_total",
        "ray_cifar_ray_images_per_second",
        "ray_cifar_ray_accelerators",
    }


def test_each_releases_dashboard_is_one_of_its_own_to_grafana(chart: Chart) -> None:
    values = RENDERINGS["all monitoring"]
    places = [("sweeps", "ml"), ("other", "ml"), ("sweeps", "lab")]
    made = []
    for release, namespace in places:
        done = chart.run(values, release, "--namespace", namespace)
        data = one(list(yaml.safe_load_all(done.stdout)), "ConfigMap")["data"]
        made += [(name, json.loads(text)) for name, text in data.items()]
    assert len({name for name, _ in made}) == len({each["uid"] for _, each in made}) == len(places)
    assert [each["title"] for _, each in made] == [
        f"CIFAR-10 sweeps: {namespace}/{name}-cifar-ray" for name, namespace in places
    ]
    shipped = json.loads((FOLDER / "dashboards" / "sweeps.json").read_text())
    assert all(len(each["uid"]) <= 40 and each["panels"] == shipped["panels"] for _, each in made)


def test_the_evaluation_does_not_take_the_options_of_the_sweeps(chart: Chart) -> None:
    manifests = chart.render(RENDERINGS["every study on its own cluster"])
    jobs = {each["metadata"]["name"]: each["spec"]["entrypoint"] for each in manifests if each["kind"] == "RayJob"}
    assert "--trials" not in jobs.pop("sweeps-cifar-ray-evaluate-own")
    assert all("--trials 8" in entrypoint for entrypoint in jobs.values())


@pytest.mark.parametrize("name", ["cnn", "evaluate"])
def test_a_study_that_is_null_has_no_job(chart: Chart, name: str) -> None:
    manifests = chart.render(STORE | {"studyDefaults": {"enabled": True}, "studies": {name: None}})
    jobs = {each["metadata"]["name"] for each in manifests if each["kind"] == "RayJob"}
    assert jobs == {f"sweeps-cifar-ray-{each}" for each in {*STUDIES, "evaluate"} - {name}}


def test_extra_variables_are_none_of_the_charts_own(chart: Chart) -> None:
    """The CRDs key variables by name: Kubernetes refuses a RayCluster that sets one twice."""
    manifests = chart.render(RENDERINGS["every study of the embedded store"])
    pods = [pod for each in manifests for pod in pod_templates(each)]
    containers = [each for pod in pods if component(pod) != "store" for each in pod["spec"]["containers"]]
    own = {variable["name"] for each in containers for variable in each["env"]}
    # which KubeRay sets unless they are there, or for which it refuses the cluster
    operators = {"RAY_AUTH_MODE", "RAY_REDIS_ADDRESS", "RAY_enable_autoscaler_v2", "REDIS_PASSWORD", "REDIS_USERNAME"}
    assert own | operators == set(SCHEMA["properties"]["extraEnv"]["propertyNames"]["not"]["enum"])
