from fake_kubernetes import FakeKubernetes
from recorded import CLUSTERS, HEAD, JOBS, TEAM, pod, ray_job

from cifar_ray.cluster.on_kubernetes.api import KubernetesApi
from cifar_ray.cluster.on_kubernetes.release import find_release
from cifar_ray.cluster.on_kubernetes.status import KubernetesJob, Pool, ReleaseStatus, WaitingPod, release_status


def status(api: KubernetesApi) -> ReleaseStatus:
    return release_status(find_release(api, "sweeps"))


def test_pools_pods_and_jobs(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    stuck = pod("worker-2", group="a100")
    stuck["status"]["conditions"].append({"type": "PodScheduled", "status": "False", "message": "0/2 nodes"})
    kubernetes.objects[f"{TEAM}/pods"] = [*kubernetes.objects[f"{TEAM}/pods"], stuck]
    kubernetes.objects[CLUSTERS][0]["spec"]["workerGroupSpecs"][0]["replicas"] = 2
    waits = ray_job("sweeps-evaluate", deployment="", message="")
    waits["spec"]["suspend"] = True
    kubernetes.objects[JOBS] += [waits, ray_job("sweeps-bad", deployment="Failed", job="FAILED", message="exit 1")]
    found = status(api)
    assert (found.cluster, found.state, found.troubles) == ("sweeps-cifar-ray", "ready", ())
    assert found.pools == (
        Pool(name="head", min_pods=1, ready=1, wanted=1, max_pods=1),
        Pool(name="a100", min_pods=0, ready=1, wanted=2, max_pods=4),
    )
    assert found.waiting == (WaitingPod(name="worker-2", why="not scheduled: 0/2 nodes"),)
    assert found.jobs == (
        KubernetesJob(name="sweeps-bad", state="Failed, FAILED", submission_id="sweeps-bad-abcde", message="exit 1"),
        KubernetesJob(name="sweeps-cnn", state="Running, RUNNING", submission_id="sweeps-cnn-abcde", message=""),
        KubernetesJob(name="sweeps-evaluate", state="suspended", submission_id="sweeps-evaluate-abcde", message=""),
    )


def test_a_fixed_size_has_no_bounds_and_hosts_multiply(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    spec = kubernetes.objects[CLUSTERS][0]["spec"]
    spec["enableInTreeAutoscaling"] = False
    spec["workerGroupSpecs"][0] |= {"numOfHosts": 2, "replicas": 3}
    assert status(api).pools[1] == Pool(name="a100", min_pods=6, ready=1, wanted=6, max_pods=6)


def test_a_cluster_that_the_operator_has_not_seen_or_cannot_make(
    kubernetes: FakeKubernetes, api: KubernetesApi
) -> None:
    cluster = kubernetes.objects[CLUSTERS][0]
    cluster["status"] = {}
    assert status(api).state == "not taken up by the KubeRay operator yet"
    cluster["status"] = {
        "conditions": [
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreateHeadPod", "message": "exceeded quota"},
            {"type": "HeadPodReady", "status": "False", "reason": "HeadPodNotFound", "message": "Head Pod not found"},
        ]
    }
    assert status(api).troubles == ("FailedCreateHeadPod: exceeded quota",)


def test_pods_of_a_removed_worker_group_are_told(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    going = pod("left-3", group="t4")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    kubernetes.objects[f"{TEAM}/pods"] += [pod("left-1", group="t4", node_name="n"), pod("left-2", group="t4"), going]
    (trouble,) = status(api).troubles
    assert "pods of worker group 't4', which the release no longer has and which hold up the autoscaler: 2; " in trouble
    assert trouble.endswith("--namespace team --selector ray.io/cluster=sweeps-cifar-ray,ray.io/group=t4")


def test_pods_that_wait_beside_the_releases_cluster_are_told(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    """A study's own cluster, a submitter, the embedded store; not a submitter that is done, or waits for sweeps."""
    pods = {
        name: pod(name, group="a100") for name in ("own-worker", "submitter", "done", "store", "theirs", "evaluate")
    }
    for each in pods.values():
        each["metadata"]["labels"] = {"app.kubernetes.io/instance": "sweeps"}
    pods["own-worker"]["metadata"]["labels"] |= {
        "ray.io/cluster": "sweeps-cifar-ray-cnn-own-x7x2p",
        "ray.io/group": "a100",
    }
    pods["theirs"]["metadata"]["labels"]["app.kubernetes.io/instance"] = "another"
    pods["done"]["status"]["phase"] = "Succeeded"
    pods["evaluate"]["status"]["initContainerStatuses"] = [
        {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    ]
    kubernetes.objects[f"{TEAM}/pods"] += pods.values()
    found = status(api)
    assert [each.name for each in found.waiting] == ["own-worker", "submitter", "store"]
    assert found.troubles == ()
    assert [pool.ready for pool in found.pools] == [1, 1]


def test_pods_of_other_clusters_are_left_out(kubernetes: FakeKubernetes, api: KubernetesApi) -> None:
    other = pod("other", group="a100")
    other["metadata"]["labels"]["ray.io/cluster"] = "another"
    kubernetes.objects[f"{TEAM}/pods"] = [pod(HEAD, group="headgroup", node_name="cpu-1"), other]
    assert status(api).waiting == ()
