import pytest
from fake_kubernetes import RAY_TOKEN, FakeDashboard, FakeKubernetes, refusal
from recorded import CLUSTERS, HEAD, TEAM, pod, ray_cluster, secret

from cifar_ray.cluster import dashboard_api
from cifar_ray.cluster.on_kubernetes.api import KubernetesApi
from cifar_ray.cluster.on_kubernetes.head_access import reach_head
from cifar_ray.cluster.on_kubernetes.release import Release, find_release
from cifar_ray.errors import ClusterError, ConfigurationError, UnreachableError


@pytest.fixture
def release(api: KubernetesApi) -> Release:
    return find_release(api, "sweeps")


def test_finds_the_release_and_not_the_clusters_of_its_jobs(release: Release) -> None:
    assert (release.cluster_name, release.namespace) == ("sweeps-cifar-ray", "team")
    assert (release.token(), release.head_pod()) == (RAY_TOKEN, HEAD)


def test_releases_that_are_not_there(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    with pytest.raises(ConfigurationError, match=r"no release 'other' .* namespace 'team'") as caught:
        find_release(api, "other")
    assert "--namespace" in str(caught.value.hint)
    for name in ("a,b=c", "", "A", "x" * 54):
        with pytest.raises(ConfigurationError, match="malformed"):
            find_release(api, name)
    kubernetes.objects[CLUSTERS].append(ray_cluster())
    with pytest.raises(ConfigurationError, match="several RayClusters"):
        find_release(api, "sweeps")
    del kubernetes.objects[CLUSTERS]
    with pytest.raises(ConfigurationError, match="no RayCluster kind"):
        find_release(api, "sweeps")


def test_a_release_whose_studies_have_the_only_clusters(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    kubernetes.objects[CLUSTERS] = kubernetes.objects[CLUSTERS][1:]
    with pytest.raises(ConfigurationError, match=r"but those of its studies \(cluster\.enabled=false\)") as caught:
        find_release(api, "sweeps")
    assert "kubectl get rayjobs,pods --namespace team --selector app.kubernetes.io/instance=sweeps" in str(
        caught.value.hint
    )


def test_a_secret_of_another_name_holds_the_token(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    kubernetes.objects[CLUSTERS][0]["spec"]["authOptions"]["secretName"] = "mine"
    kubernetes.objects[f"{TEAM}/secrets/mine"] = secret("mine", auth_token="other\n")
    assert find_release(api, "sweeps").token() == "other"


def test_tokens_that_cannot_be_had(kubernetes: FakeKubernetes, release: Release) -> None:
    path = f"{TEAM}/secrets/sweeps-cifar-ray"
    for broken in (secret("x", other="y"), secret("x", auth_token=""), {"data": {"auth_token": "%%"}}):
        kubernetes.objects[path] = broken
        with pytest.raises(ClusterError, match="has no token"):
            release.token()
    del kubernetes.objects[path]
    with pytest.raises(ClusterError, match="there is no Secret"):
        release.token()
    kubernetes.answers[path] = lambda _: refusal(403, "Forbidden", 'cannot get resource "secrets"')
    with pytest.raises(ClusterError, match="cannot get"):
        release.token()
    release.cluster["spec"]["authOptions"]["enableK8sTokenAuth"] = True
    with pytest.raises(ClusterError, match="Kubernetes' own tokens"):
        release.token()
    release.cluster["spec"]["authOptions"] = {}
    assert release.token() is None


def test_a_head_that_is_not_ready_says_why(kubernetes: FakeKubernetes, release: Release) -> None:
    head = pod(HEAD, group="headgroup")
    head["status"]["conditions"].append(
        {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available: 2 Insufficient cpu."}
    )
    kubernetes.objects[f"{TEAM}/pods"] = [head]
    with pytest.raises(UnreachableError, match="2 Insufficient cpu") as caught:
        release.head_pod()
    assert "cluster status --release sweeps --namespace team" in str(caught.value.hint)
    kubernetes.objects[f"{TEAM}/pods"] = []
    with pytest.raises(UnreachableError, match="there is none"):
        release.head_pod()


def test_a_head_that_is_being_replaced_is_passed_over(kubernetes: FakeKubernetes, release: Release) -> None:
    old, new = (pod(name, group="headgroup", node_name="cpu-1") for name in (HEAD, "head-2"))
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    kubernetes.objects[f"{TEAM}/pods"] = [old, new]
    assert release.head_pod() == "head-2"


def test_the_head_answers_through_the_forward(release: Release) -> None:
    with reach_head(release) as head:
        assert dashboard_api.versions(head.url, head.token).python == "3.11.7"
        assert RAY_TOKEN not in repr(head)
    with pytest.raises(UnreachableError):
        dashboard_api.versions(head.url, head.token)


def test_says_what_keeps_the_head_from_being_reached(
    kubernetes: FakeKubernetes, dashboard: FakeDashboard, release: Release
) -> None:
    kubernetes.answers[f"{TEAM}/pods/{HEAD}/portforward"] = lambda _: refusal(
        403, "Forbidden", 'cannot create resource "pods/portforward"'
    )
    with pytest.raises(ClusterError, match="pods/portforward"), reach_head(release):
        pass
    kubernetes.answers.clear()
    kubernetes.objects[f"{TEAM}/secrets/sweeps-cifar-ray"] = secret("x", auth_token="stale")
    with pytest.raises(UnreachableError, match="answers 403") as caught, reach_head(release):
        pass
    assert f"kubectl logs --namespace team {HEAD}" in str(caught.value.hint)
