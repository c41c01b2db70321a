"""What the chart renders is what Kubernetes, KubeRay and Ray take."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Callable
from typing import Any

import kuberay_crds
import kuberay_rules
import kubernetes_validate
import pytest
from chart import FOLDER, REPOSITORY, STORE, Chart, Json, cluster_specs, component, one, pod_templates
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from renderings import EXAMPLES, RELAXED, RENDERINGS

from cifar_ray.settings import read_settings
from cifar_ray.studies import STUDIES
from cifar_ray.studies.duration import read_duration

VERSIONS = [kubernetes_validate.utils.all_versions()[each] for each in (0, -1)]
FOREIGN = {"PodMonitor"}
"""Kinds whose definition neither Kubernetes nor KubeRay has."""
GIB = 1024**3

every_rendering = pytest.mark.parametrize("values", [*RENDERINGS.values(), RELAXED], ids=[*RENDERINGS, "relaxed"])


def test_lint_finds_nothing(chart: Chart) -> None:
    command = [str(chart.helm), "lint", "--strict", str(FOLDER), "--set"]
    command += [f"objectStore.uri=s3://bucket,image.repository={REPOSITORY}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


@every_rendering
def test_kubernetes_takes_it(chart: Chart, values: dict[str, Any]) -> None:
    _check_types(chart.render(values))


@pytest.mark.parametrize("release", ["on", "null"])
def test_a_releases_name_is_one_whatever_yaml_takes_it_for(chart: Chart, release: str) -> None:
    for name in ("every study of the embedded store", "every study on its own cluster", "all monitoring"):
        manifests = chart.render(RENDERINGS[name], release)
        _check_types(manifests)
        assert {each["metadata"]["labels"]["app.kubernetes.io/instance"] for each in manifests} == {release}
    monitor = one(chart.render(RENDERINGS["all monitoring"], release), "PodMonitor")
    assert monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == release


def _check_types(manifests: list[Json]) -> None:
    """Every pod and all but the specs of foreign kinds are as Kubernetes' own schemas say."""
    for manifest in manifests:
        assert all(isinstance(each, str) for each in manifest["metadata"]["labels"].values())
        core = [] if manifest["kind"] in {*FOREIGN, *kuberay_crds.KINDS} else [manifest]
        pods = [{"apiVersion": "v1", "kind": "Pod"} | each for each in pod_templates(manifest)]
        for each in [*core, *pods]:
            for version in VERSIONS:
                kubernetes_validate.validate(each, version, strict=True)


@every_rendering
def test_kuberay_takes_it(chart: Chart, values: dict[str, Any]) -> None:
    ours = [each for each in chart.render(values) if each["kind"] in kuberay_crds.KINDS]
    for manifest in ours:
        assert kuberay_crds.problems(manifest) == []
        assert kuberay_rules.violations(manifest) == []


@every_rendering
def test_what_a_pod_refers_to_is_there(chart: Chart, values: dict[str, Any]) -> None:
    manifests = chart.render(values)
    made = {each["metadata"]["name"] for each in manifests if each["kind"] == "Secret"}
    tokens = {each["metadata"]["name"] for each in manifests if each["kind"] == "RayCluster"}
    given = {"1234", "keys", "minio-keys", "gcs-hmac"} | tokens
    accounts = {each["metadata"]["name"] for each in manifests if each["kind"] == "ServiceAccount"} or {"theirs", "on"}
    for pod in (each for manifest in manifests for each in pod_templates(manifest)):
        spec = pod["spec"]
        claims = {"data"} if "serviceAccountName" not in spec else set()
        volumes = {each["name"] for each in spec["volumes"]} | claims
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert {each["name"] for each in container["volumeMounts"]} <= volumes
            names = [each["secretRef"]["name"] for each in container.get("envFrom", [])]
            sources = [each["valueFrom"] for each in container.get("env", []) if "valueFrom" in each]
            names += [each["secretKeyRef"]["name"] for each in sources]
            assert set(names) <= made | given
            variables = [each["name"] for each in container.get("env", [])]
            assert len(variables) == len(set(variables))
        assert spec.get("serviceAccountName", "default") in accounts | {"default"}


@every_rendering
def test_no_object_overwrites_another(chart: Chart, values: dict[str, Any]) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in chart.render(values)]
    assert len(names) == len(set(names))
    for manifest in chart.render(values):
        assert manifest["metadata"]["labels"]["app.kubernetes.io/name"] == "cifar-ray"
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == "sweeps"
        assert set(manifest["metadata"]["labels"]) >= {"app.kubernetes.io/managed-by", "helm.sh/chart"}


def _node_types(manifest: Json) -> Json:
    (spec,) = cluster_specs(manifest)
    seen = {"metadata": {"name": manifest["metadata"]["name"], "namespace": "ml"}, "spec": spec}
    config: Json = _derive_autoscaling_config_from_ray_cr(seen)
    return config["available_node_types"] | {"idle_timeout_minutes": config["idle_timeout_minutes"]}


def test_rays_autoscaler_reads_the_pools_as_meant(chart: Chart) -> None:
    types = _node_types(one(chart.render(RENDERINGS["details"]), "RayCluster"))
    assert types["headgroup"]["resources"] == {"CPU": 0, "GPU": 0, "memory": 8 * GIB}
    assert types["amd"]["resources"] == {"CPU": 4, "GPU": 8, "memory": 16 * GIB}
    assert (types["amd"]["min_workers"], types["amd"]["max_workers"]) == (1, 4)
    assert types["amd"]["labels"] == {"ray.io/market-type": "on-demand", "ray.io/accelerator-type": "MI300X"}
    assert types["cpu"]["resources"] == {"CPU": 1, "GPU": 0, "memory": 16 * GIB}
    assert types["cpu"]["idle_timeout_s"] == 600
    assert types["a100"]["labels"] == {"ray.io/market-type": "spot"}
    assert types["a100"]["priority"] == 5
    assert types["idle_timeout_minutes"] == 1


@every_rendering
def test_jobs_are_told_the_pools_that_rays_autoscaler_reads(chart: Chart, values: dict[str, Any]) -> None:
    for manifest in chart.render(values):
        for spec in cluster_specs(manifest):
            env = {each["name"]: each.get("value", "") for each in _head_env({"spec": spec})}
            told = {each.name: each for each in read_settings(env).worker_pools}
            if not spec["enableInTreeAutoscaling"]:
                assert told == {}, "all nodes are there from the start"
                continue
            types = _node_types(manifest)
            read = {name: each for name, each in types.items() if name not in ("headgroup", "idle_timeout_minutes")}
            assert set(told) == set(read)
            for name, pool in told.items():
                resources = read[name]["resources"]
                assert (pool.num_cpus, pool.num_gpus) == (resources["CPU"], resources.get("GPU", 0))
                assert pool.max_nodes == read[name]["max_workers"]
                assert pool.accelerator == read[name]["labels"].get("ray.io/accelerator-type", "")


def test_a_studys_own_cluster_is_like_the_releases(chart: Chart) -> None:
    values = STORE | {"studies": {"cnn": {"enabled": True, "ownCluster": True}}}
    manifests = chart.render(values)
    assert one(manifests, "RayJob")["spec"]["rayClusterSpec"] == one(manifests, "RayCluster")["spec"]


def test_a_study_that_changes_its_cluster_is_another_rayjob(chart: Chart) -> None:
    """Without a clusterSelector KubeRay deletes the cluster that a RayJob ran on, even the release's."""
    names = {
        is_own: one(chart.render(STORE | {"studies": {"cnn": {"enabled": True, "ownCluster": is_own}}}), "RayJob")[
            "metadata"
        ]["name"]
        for is_own in (False, True)
    }
    assert names == {False: "sweeps-cifar-ray-cnn", True: "sweeps-cifar-ray-cnn-own"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_examples_pools_are_within_reach_of_ray(chart: Chart, name: str) -> None:
    types = _node_types(one(chart.render(EXAMPLES[name]), "RayCluster"))
    workers = [each for key, each in types.items() if key not in ("headgroup", "idle_timeout_minutes")]
    gpus = {each["resources"].get("GPU", 0) for each in workers}
    assert gpus == ({0} if name == "cpu" else {2} if name == "on-premises" else {1})


def test_without_an_autoscaler_the_groups_are_full(chart: Chart) -> None:
    spec = one(chart.render(RENDERINGS["kueue"]), "RayCluster")["spec"]
    assert spec["enableInTreeAutoscaling"] is False
    (group,) = spec["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (2, 2, 2)
    assert not {"priority", "idleTimeoutSeconds"} & set(group)


def test_kueue_queues_what_makes_pods(chart: Chart) -> None:
    for manifest in chart.render(RENDERINGS["kueue"]):
        # evaluate is on the release's cluster: one of its own would hold its workers while it waits
        if manifest["kind"] in kuberay_crds.KINDS and not manifest["metadata"]["name"].endswith("-evaluate"):
            assert manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    on_the_releases = RENDERINGS["kueue"] | {"studyDefaults": {"ownCluster": False}}
    jobs = [each for each in chart.render(on_the_releases) if each["kind"] == "RayJob"]
    assert jobs
    assert not any("kueue.x-k8s.io/queue-name" in each["metadata"]["labels"] for each in jobs)


def test_a_sweep_that_is_tried_again_goes_on(chart: Chart) -> None:
    own = {"enabled": True, "sweepId": "r-7", "args": ["--trials", "3"], "activeDeadlineSeconds": 7500}
    values = STORE | {"studies": {"cnn": {"enabled": True}, "resnet-schedule": own}}
    jobs = {each["metadata"]["name"]: each["spec"] for each in chart.render(values) if each["kind"] == "RayJob"}
    folder = "python /home/ray/cifar-ray/jobs"
    assert {name: job["entrypoint"] for name, job in jobs.items()} == {
        # of which KubeRay stops none at its deadline, 86400 s
        "sweeps-cifar-ray-cnn": f"{folder}/tune_cnn.py --sweep-id cnn-sweeps --start-or-resume --time-limit 86100s",
        "sweeps-cifar-ray-resnet-schedule": (
            f"{folder}/tune_resnet_schedule.py --sweep-id r-7 --start-or-resume --trials 3 --time-limit 7200s"
        ),
    }
    assert {job["clusterSelector"]["ray.io/cluster"] for job in jobs.values()} == {"sweeps-cifar-ray"}


def test_a_deadline_of_weeks_is_a_time_limit_that_the_job_reads(chart: Chart) -> None:
    values = STORE | {"studies": {"cnn": {"enabled": True, "activeDeadlineSeconds": 1_209_600}}}
    entrypoint = one(chart.render(values), "RayJob")["spec"]["entrypoint"]
    assert read_duration("--time-limit", entrypoint.split("--time-limit ")[1]) == 1_209_300


def test_every_study_has_a_job_that_the_image_has(chart: Chart) -> None:
    jobs = [each["spec"]["entrypoint"] for each in chart.render(RENDERINGS["every study"]) if each["kind"] == "RayJob"]
    assert {job.split()[1].rpartition("/")[2] for job in jobs} == {
        *(study.job[0] for study in STUDIES.values()),
        "evaluate_best.py",
    }


def test_the_evaluation_waits_for_all_sweeps(chart: Chart) -> None:
    job = one(chart.render(RENDERINGS["every study"]), "RayJob", "sweeps-cifar-ray-evaluate")["spec"]
    ids = [f"{study}-sweeps" for study in sorted(STUDIES)]
    assert job["entrypoint"] == f"python /home/ray/cifar-ray/jobs/evaluate_best.py {' '.join(ids)}"
    (wait,) = job["submitterPodTemplate"]["spec"]["initContainers"]
    assert wait["command"][-len(ids) - 2 :] == [*ids, "--timeout-s", "88200"]
    assert job["activeDeadlineSeconds"] == 97200


def test_the_evaluation_may_name_a_sweep_of_the_release(chart: Chart) -> None:
    studies = {"fast": {"enabled": True}, "evaluate": {"enabled": True, "sweeps": ["fast-sweeps", "older"]}}
    job = one(chart.render(STORE | {"studies": studies}), "RayJob", "sweeps-cifar-ray-evaluate")["spec"]
    assert job["entrypoint"].endswith("evaluate_best.py fast-sweeps older")


def test_a_clusters_own_end_is_bounded(chart: Chart) -> None:
    for job in chart.render(RENDERINGS["every study on its own cluster"]):
        if job["kind"] == "RayJob":
            spec = job["spec"]
            assert spec["shutdownAfterJobFinishes"] is True
            tries = 0 if "evaluate_best.py" in spec["entrypoint"] else 2
            assert (spec["ttlSecondsAfterFinished"], spec["backoffLimit"]) == (600, tries)
            assert "clusterSelector" not in spec


Change = Callable[[Json], object]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda each: each["metadata"].update(name="a" * 54), "53 characters"),
        (lambda each: each["metadata"].update(name="1a"), "DNS-1035"),
        (lambda each: each["spec"]["headGroupSpec"].update(resources={"CPU": "1"}), "both in rayStartParams"),
        (lambda each: each["spec"]["headGroupSpec"]["rayStartParams"].update(labels="a=b"), "labels in rayStartParams"),
        (lambda each: _worker(each).update(minReplicas=9), "above maxReplicas"),
        (lambda each: _worker(each)["template"]["spec"].update(restartPolicy="Always"), "restartPolicy Never"),
        (lambda each: each["spec"].update(rayVersion="2.51.0"), "2.52"),
        (lambda each: each["spec"].update(networkPolicy={}), "feature gate"),
        (lambda each: (_older_autoscaler(each), _worker(each).update(priority=1)), "2.56"),
        (lambda each: (_older_autoscaler(each), _worker(each).update(idleTimeoutSeconds=1)), "v2"),
        (lambda each: _worker(each).update(suspend=True), "suspend"),
        (lambda each: (_worker(each).pop("minReplicas"), each["spec"].pop("enableInTreeAutoscaling")), "needed"),
        (lambda each: _head_env(each).append({"name": "REDIS_PASSWORD", "value": "x"}), "REDIS_PASSWORD"),
        (lambda each: _head_env(each).append({"name": "RAY_enable_autoscaler_v2", "value": "1"}), "autoscaler_v2"),
    ],
)
def test_the_operators_rules_find_a_bad_cluster(chart: Chart, change: Change, found: str) -> None:
    manifest = copy.deepcopy(one(chart.render(STORE), "RayCluster"))
    change(manifest)
    assert found in " ".join(kuberay_rules.violations(manifest))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda spec: spec.update(backoffLimit=1), "backoffLimit"),
        (lambda spec: spec.update(submissionMode="SidecarMode"), "SidecarMode with a submitter"),
        (lambda spec: spec.update(suspend=True), "suspend"),
        (lambda spec: spec.update(ttlSecondsAfterFinished=1), "ttlSecondsAfterFinished"),
        (lambda spec: spec.update(clusterSelector={}), "one of"),
        (lambda spec: spec.update(clusterSelector={"a": "b"}), "names no cluster"),
        (lambda spec: spec.update(activeDeadlineSeconds=0), "activeDeadlineSeconds"),
        (lambda spec: spec.update(deletionStrategy=DELETES, shutdownAfterJobFinishes=True), "deletionRules"),
        (lambda spec: spec.update(deletionStrategy=DELETES), "deletes the cluster"),
    ],
)
def test_the_operators_rules_find_a_bad_job(chart: Chart, change: Change, found: str) -> None:
    manifest = copy.deepcopy(one(chart.render(STORE | {"studies": {"cnn": {"enabled": True}}}), "RayJob"))
    assert kuberay_rules.violations(manifest) == []
    change(manifest["spec"])
    assert found in " ".join(kuberay_rules.violations(manifest))


DELETES = {"deletionRules": [{"policy": "DeleteCluster", "condition": {"jobStatus": "SUCCEEDED"}}]}


def _worker(manifest: Json) -> Json:
    worker: Json = manifest["spec"]["workerGroupSpecs"][0]
    return worker


def _older_autoscaler(manifest: Json) -> None:
    del manifest["spec"]["autoscalerOptions"]["version"]


def _head_env(manifest: Json) -> list[Json]:
    env: list[Json] = manifest["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    return env


def test_the_strict_schema_finds_a_typo_at_any_depth(chart: Chart) -> None:
    manifest = copy.deepcopy(one(chart.render(STORE), "RayCluster"))
    _worker(manifest)["template"]["spec"]["containers"][0]["resorces"] = {}
    _worker(manifest)["maxReplica"] = 1
    found = " ".join(kuberay_crds.problems(manifest))
    assert "resorces" in found
    assert "maxReplica" in found


def test_a_submitter_that_is_lost_is_not_the_end_of_its_job(chart: Chart) -> None:
    values = STORE | {"studies": {"cnn": {"enabled": True, "ownCluster": True}}}
    job = one(chart.render(values), "RayJob")["spec"]
    assert job["submitterConfig"]["backoffLimit"] == 5
    assert "--time-limit" not in job["entrypoint"], "its cluster goes at the deadline"


def test_a_study_on_its_own_cluster_may_end_before_that_is_deleted(chart: Chart) -> None:
    own = {"enabled": True, "ownCluster": True, "args": ["--time-limit", "2h"]}
    entrypoint = one(chart.render(STORE | {"studies": {"cnn": own}}), "RayJob")["spec"]["entrypoint"]
    assert entrypoint.endswith("--sweep-id cnn-sweeps --start-or-resume --time-limit 2h")


def test_jobs_have_time_to_write_their_books_when_they_are_stopped(chart: Chart) -> None:
    env = _head_env(one(chart.render(STORE), "RayCluster"))
    assert {"name": "RAY_JOB_STOP_WAIT_TIME_S", "value": "20"} in env


def test_the_secrets_of_the_registry_go_to_every_pod(chart: Chart) -> None:
    store = {"objectStore": {"embedded": {"enabled": True}}}
    manifests = chart.render(store | {"image": {"pullSecrets": ["one", "two"]}})
    pods = {component(pod): pod["spec"] for manifest in manifests for pod in pod_templates(manifest)}
    assert "store" in pods
    assert all(spec["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}] for spec in pods.values())


def test_a_default_that_is_taken_away_leaves_no_trace(chart: Chart) -> None:
    values = STORE | {"workerDefaults": {"resources": {"ephemeralStorage": None}}}
    spec = one(chart.render(values), "RayCluster")["spec"]
    (container,) = spec["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert set(container["resources"]["limits"]) == {"cpu", "memory", "nvidia.com/gpu"}
