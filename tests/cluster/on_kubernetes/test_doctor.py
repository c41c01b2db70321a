"""Each test breaks one thing, and sees the line that names it and nothing else change."""

from dataclasses import dataclass, replace
from importlib.metadata import version
from platform import python_version
from typing import Any

import pytest
from aiohttp import web
from fake_kubernetes import FakeDashboard, FakeKubernetes, refusal
from recorded import CLUSTERS, TEAM, node, operator, pod, secret

from cifar_ray.cluster.on_kubernetes import head_checks
from cifar_ray.cluster.on_kubernetes.api import KubernetesApi
from cifar_ray.cluster.on_kubernetes.doctor import examine
from cifar_ray.cluster.on_kubernetes.findings import Finding, Severity, exit_code
from cifar_ray.settings import Settings, read_settings


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return read_settings({"CIFAR_RAY_STORAGE": str(tmp_path / "store"), "CIFAR_RAY_HOME": str(tmp_path)})


@pytest.fixture(autouse=True)
def all_is_well(kubernetes: FakeKubernetes, dashboard: FakeDashboard, settings: Settings) -> None:
    """The versions and the store of this machine, on the cluster too."""
    dashboard.ray_version, dashboard.python_version = version("ray"), python_version()
    spec = kubernetes.objects[CLUSTERS][0]["spec"]
    spec["rayVersion"] = version("ray")
    spec["headGroupSpec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = settings.storage


@dataclass(frozen=True)
class Doctor:
    """`cifar-ray cluster doctor` with these settings."""

    api: KubernetesApi
    settings: Settings

    def findings(self, release: str | None = "sweeps") -> list[Finding]:
        return list(examine(self.api, release, self.settings))

    def problems(self, release: str | None = "sweeps") -> list[Finding]:
        return [finding for finding in self.findings(release) if finding.severity is not Severity.OK]

    def only_problem(self) -> Finding:
        (found,) = self.problems()
        assert found.todo
        assert exit_code([found]) == (found.severity is Severity.ERROR)
        return found


@pytest.fixture
def doctor(api: KubernetesApi, settings: Settings) -> Doctor:
    return Doctor(api, settings)


def test_all_is_well(doctor: Doctor) -> None:
    found = {finding.checked: finding for finding in doctor.findings()}
    assert [finding for finding in found.values() if finding.severity is not Severity.OK] == []
    assert exit_code(list(found.values())) == 0
    assert found["Kubernetes API"].found == f"v1.33.1 at {doctor.api.url}, namespace team"
    assert found["KubeRay operator"].found == "kuberay/kuberay-operator runs quay.io/kuberay/operator:v1.7.0"
    assert found["accelerators"].found == "1 nodes hold 2 nvidia.com/gpu, 1 free"
    assert found["worker group a100"].found == (
        "a pod asks for 4 cpu, 16 GiB memory, 1 nvidia.com/gpu; autoscaled from 0 to 4; 1 ready, room for 1 more"
    )
    assert found["head"].found.startswith("a pod asks for 4.5 cpu, 16.5 GiB memory; one pod; 1 ready")
    assert found["Secret s3-keys"].found == "is there, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
    assert {"Secret sweeps-cifar-ray", "ServiceAccount sweeps-cifar-ray", "dashboard", "Ray's token"} <= set(found)
    assert "on both sides" in found["Ray's version"].found
    assert {"Python's version", "store, from this machine"} <= set(found)


def test_without_a_release_the_cluster_is_checked_alone(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    del kubernetes.objects[CLUSTERS]
    assert doctor.problems(None) == []
    assert not any("rayclusters" in request for request in kubernetes.requests)


def test_an_api_that_refuses_ends_the_examination(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    kubernetes.answers["/version"] = lambda _: refusal(401, "Unauthorized", "Unauthorized")
    assert "does not accept your credentials" in doctor.only_problem().found
    assert kubernetes.requests == ["/version"]


def test_kuberay_that_is_not_installed(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    for path in ("/apis/ray.io/v1", CLUSTERS):
        del kubernetes.objects[path]
    kubernetes.objects["/apis/apps/v1/deployments"] = []
    kinds, runs, release = doctor.problems()
    assert (kinds.found, kinds.severity) == ("the API does not serve ray.io/v1", Severity.ERROR)
    assert "helm install kuberay-operator" in str(kinds.todo)
    assert runs.found == "no deployment of it in any namespace"
    assert release.found == "this Kubernetes cluster has no RayCluster kind"


def test_a_kind_that_is_not_served(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    kubernetes.objects["/apis/ray.io/v1"]["resources"] = [{"name": "rayclusters"}]
    assert doctor.only_problem().found == "ray.io/v1 lacks rayjobs"


@pytest.mark.parametrize(
    ("deployment", "says", "severity"),
    [
        (operator("v1.6.2"), "runs quay.io/kuberay/operator:v1.6.2", Severity.ERROR),
        (operator(available=0), "has no pod that is available", Severity.ERROR),
        (operator("nightly"), "runs quay.io/kuberay/operator:nightly", Severity.WARNING),
    ],
)
def test_operators_that_will_not_do(
    deployment: Any, says: str, severity: Severity, kubernetes: FakeKubernetes, doctor: Doctor
) -> None:
    kubernetes.objects["/apis/apps/v1/deployments"] = [deployment]
    found = doctor.only_problem()
    assert (says in found.found, found.severity) == (True, severity)


@pytest.mark.parametrize("tag", ["v1.7.0", "1.7.3", "v1.10.0", "v2.0.0-rc.1"])
def test_operators_that_will_do(tag: str, kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    kubernetes.objects["/apis/apps/v1/deployments"] = [operator(tag)]
    assert doctor.problems() == []


def test_a_group_that_fits_no_node_names_what_is_missing(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    kubernetes.objects["/api/v1/nodes"] = [node("cpu-1"), node("gpu-1")]
    # whose driver has failed: the device plugin offers none
    kubernetes.objects["/api/v1/nodes"][1]["status"]["allocatable"]["nvidia.com/gpu"] = "0"
    accelerators, group = doctor.problems()
    assert accelerators.found == "none of 2 nodes offers any"
    assert (group.checked, group.severity) == ("worker group a100", Severity.ERROR)
    assert "no node fits: 2 of 2 nodes: has 0 nvidia.com/gpu, the pod needs 1 nvidia.com/gpu" in group.found


def test_nodes_that_take_no_pods_count_for_nothing(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    lost, cordoned = node("gpu-2", gpus=4), node("gpu-3", gpus=8)
    lost["status"]["conditions"][1]["status"] = "Unknown"
    cordoned["spec"]["unschedulable"] = True
    kubernetes.objects["/api/v1/nodes"] = [*kubernetes.objects["/api/v1/nodes"], lost, cordoned]
    found = {finding.checked: finding.found for finding in doctor.findings(None)}
    assert found["nodes"] == "2, 2 cordoned or not ready"
    assert found["accelerators"] == "1 nodes hold 2 nvidia.com/gpu, 1 free"
    kubernetes.objects["/api/v1/nodes"] = [node("cpu-1"), lost]
    (warning,) = doctor.problems(None)
    assert warning.found == "none of 1 nodes offers any"


def test_slices_of_a_gpu_which_neither_chart_nor_ray_takes_are_none(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    sliced = node("gpu-1")
    sliced["status"]["allocatable"]["nvidia.com/mig-1g.5gb"] = "7"
    kubernetes.objects["/api/v1/nodes"] = [sliced]
    (warning,) = doctor.problems(None)
    assert warning.found == "none of 1 nodes offers any"


@pytest.mark.parametrize("kind", ["karpenter", "cluster autoscaler"])
def test_nodes_that_come_on_demand_make_it_a_warning(kind: str, kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    kubernetes.objects["/api/v1/nodes"] = [node("cpu-1")]
    if kind == "karpenter":
        kubernetes.objects["/apis"]["groups"].append({"name": "karpenter.sh"})
    else:
        kubernetes.objects["/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status"] = {"data": {}}
    assert {finding.severity for finding in doctor.problems()} == {Severity.WARNING}


def test_a_pool_that_is_to_fit_needs_a_disk_too(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    kubernetes.objects["/api/v1/nodes"] = [node("cpu-1")]
    kubernetes.objects["/apis"]["groups"].append({"name": "karpenter.sh"})
    (worker,) = kubernetes.objects[CLUSTERS][0]["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    todos = {found.checked: str(found.todo) for found in doctor.problems()}
    assert todos["worker group a100"] == "make sure that the node autoscaler has a pool that fits"
    worker["resources"]["limits"]["ephemeral-storage"] = "40Gi"
    todos = {found.checked: str(found.todo) for found in doctor.problems()}
    assert "with disks for 40 GiB ephemeral-storage and the image" in todos["worker group a100"]


def test_a_full_cluster_is_a_warning(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    other = pod("other", group="x", node_name="gpu-1", gpus=1, namespace="others")
    kubernetes.objects["/api/v1/pods"] = [*kubernetes.objects["/api/v1/pods"], other]
    found = doctor.only_problem()
    assert "no node has room now, 1 would if emptier" in found.found
    assert found.todo == "free gpu-1, or wait: pods stay pending until then"
    kubernetes.objects[CLUSTERS][0]["spec"]["workerGroupSpecs"][0]["maxReplicas"] = 1
    assert doctor.problems() == [], "the group has all its pods"


def test_what_may_not_be_looked_at_is_a_warning(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    kubernetes.answers["/api/v1/nodes"] = lambda _: refusal(403, "Forbidden", 'User "me" cannot list "nodes"')
    found = doctor.only_problem()
    assert (found.checked, found.severity) == ("nodes", Severity.WARNING)
    assert 'cannot be looked at: User "me" cannot list "nodes"' in found.found


def test_pods_of_others_that_may_not_be_listed_count_for_nothing(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    kubernetes.answers["/api/v1/pods"] = lambda _: refusal(403, "Forbidden", "no")
    found = {finding.checked: finding.found for finding in doctor.findings()}
    assert found["accelerators"] == "1 nodes hold 2 nvidia.com/gpu, how many are free is not known"
    assert "room" not in found["worker group a100"]


@pytest.mark.parametrize(
    ("path", "replacement", "checked", "says"),
    [
        ("secrets/sweeps-cifar-ray", None, "Secrets and ServiceAccounts", "there is no Secret 'sweeps-cifar-ray'"),
        ("secrets/s3-keys", None, "Secret s3-keys", "is missing"),
        ("secrets/s3-keys", secret("x", AWS_ACCESS_KEY_ID="a"), "Secret s3-keys", "lacks AWS_SECRET_ACCESS_KEY"),
        ("serviceaccounts/sweeps-cifar-ray", None, "ServiceAccount sweeps-cifar-ray", "is missing"),
    ],
)
def test_references_to_what_is_not_there(
    path: str,
    replacement: Any,
    checked: str,
    says: str,
    kubernetes: FakeKubernetes,
    doctor: Doctor,
) -> None:
    if replacement is None:
        del kubernetes.objects[f"{TEAM}/{path}"]
    else:
        kubernetes.objects[f"{TEAM}/{path}"] = replacement
    found = doctor.problems()[0]
    assert (found.checked, found.severity) == (checked, Severity.ERROR)
    assert says in found.found


def test_references_in_volumes_env_from_and_pull_secrets_count_optional_ones_do_not(
    kubernetes: FakeKubernetes, doctor: Doctor
) -> None:
    spec = kubernetes.objects[CLUSTERS][0]["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    spec["volumes"] = [{"secret": {"secretName": "v"}}, {"secret": {"secretName": "o", "optional": True}}]
    spec["imagePullSecrets"] = [{"name": "p"}]
    spec["containers"][0]["envFrom"] = [{"secretRef": {"name": "e"}}, {"configMapRef": {"name": "c"}}]
    spec["containers"][0]["env"][1]["valueFrom"]["secretKeyRef"] |= {"name": "gone", "optional": True}
    assert [finding.checked for finding in doctor.problems()] == ["Secret e", "Secret p", "Secret v"]


@pytest.mark.parametrize(
    ("held", "missing"),
    [
        ({"accesskey": "a", "secretkey": "b"}, "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "a", "secretkey": "b"}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, None),
    ],
)
def test_a_secret_of_the_store_without_its_keys_is_a_warning(
    kubernetes: FakeKubernetes, doctor: Doctor, held: dict[str, str], missing: str | None
) -> None:
    """The pods would start, and ask the store as nobody."""
    (container,) = kubernetes.objects[CLUSTERS][0]["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    container["envFrom"] = [{"secretRef": {"name": "minio"}}]
    kubernetes.objects[f"{TEAM}/secrets/minio"] = secret("minio", **held)
    if missing is None:
        assert doctor.problems() == []
        return
    found = doctor.only_problem()
    assert (found.checked, found.severity) == ("Secret minio", Severity.WARNING)
    assert found.found == f"lacks {missing}, by which pods reach the store"


def test_the_secret_with_the_password_of_redis_counts(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    reference = {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "redis-password"}}}
    options = {"redisAddress": "redis:6379", "redisPassword": reference}
    kubernetes.objects[CLUSTERS][0]["spec"]["gcsFaultToleranceOptions"] = options
    assert (doctor.only_problem().checked, doctor.only_problem().severity) == ("Secret redis", Severity.ERROR)
    kubernetes.objects[f"{TEAM}/secrets/redis"] = secret("redis", password="p")
    assert doctor.only_problem().found == "lacks redis-password"
    kubernetes.objects[f"{TEAM}/secrets/redis"] = secret("redis", **{"redis-password": "p"})
    assert doctor.problems() == []


def test_a_release_without_a_token_is_a_warning(
    kubernetes: FakeKubernetes, dashboard: FakeDashboard, doctor: Doctor
) -> None:
    del kubernetes.objects[CLUSTERS][0]["spec"]["authOptions"]
    dashboard.asks_for_token = False
    found = doctor.only_problem()
    assert (found.checked, found.severity) == ("Ray's token", Severity.WARNING)


def test_a_dashboard_that_lets_anyone_in_is_an_error(dashboard: FakeDashboard, doctor: Doctor) -> None:
    dashboard.asks_for_token = False
    found = doctor.only_problem()
    assert (found.found, found.severity) == ("the Jobs API answers without it too", Severity.ERROR)


def test_a_head_that_is_not_there_is_an_error(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    kubernetes.objects[f"{TEAM}/pods"] = []
    found = doctor.only_problem()
    assert (found.checked, found.severity) == ("dashboard", Severity.ERROR)
    assert "there is none" in found.found


def test_other_versions_are_warnings(kubernetes: FakeKubernetes, dashboard: FakeDashboard, doctor: Doctor) -> None:
    dashboard.ray_version, dashboard.python_version = "2.59.0", "3.9.1"
    ray, python = doctor.problems()
    assert ray.found == f"2.59.0 on the cluster, {version('ray')} here"
    assert python.found == f"3.9.1 on the cluster, {python_version()} here"
    dashboard.ray_version, dashboard.python_version = version("ray"), python_version()
    kubernetes.objects[CLUSTERS][0]["spec"]["rayVersion"] = "2.59.0"
    assert "the RayCluster says 2.59.0" in doctor.only_problem().found


def test_stores_that_are_not_set_not_the_same_or_do_not_work(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    unset, elsewhere = (
        replace(doctor, settings=read_settings(environ)).problems()
        for environ in ({}, {"CIFAR_RAY_STORAGE": "/proc/x"})
    )
    assert [finding.severity for finding in unset] == [Severity.WARNING]
    assert f"CIFAR_RAY_STORAGE={doctor.settings.storage}" in str(unset[0].todo)
    assert [finding.severity for finding in elsewhere] == [Severity.WARNING, Severity.ERROR]
    assert elsewhere[0].found == f"/proc/x here, {doctor.settings.storage} on the cluster"


@pytest.mark.parametrize(("there", "is_well"), [("http://127.0.0.1:8333/", True), ("http://store.svc:8333", False)])
def test_one_bucket_at_two_addresses_may_be_two_stores(
    kubernetes: FakeKubernetes, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, there: str, is_well: bool
) -> None:
    """The one-machine cluster's store and the chart's embedded one have the same bucket."""
    monkeypatch.setattr(head_checks, "check_write_read_delete", lambda store: None)
    environ = {"CIFAR_RAY_STORAGE": "s3://cifar-ray/results", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:8333"}
    (head,) = kubernetes.objects[CLUSTERS][0]["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    head["env"][0]["value"] = environ["CIFAR_RAY_STORAGE"]
    head["env"] = [*head["env"], {"name": "AWS_ENDPOINT_URL_S3", "value": there}]
    found = replace(doctor, settings=read_settings(environ)).problems()
    said = [f"s3://cifar-ray/results is at http://127.0.0.1:8333 here, at {there} on the cluster"]
    assert [finding.found for finding in found] == ([] if is_well else said)


def test_one_broken_answer_does_not_end_the_rest(kubernetes: FakeKubernetes, doctor: Doctor) -> None:
    kubernetes.answers["/apis/apps/v1/deployments"] = lambda _: web.Response(text="<html>")
    assert doctor.only_problem().checked == "KubeRay operator"
