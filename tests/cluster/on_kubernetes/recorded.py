"""Objects in the shapes in which Kubernetes 1.33 and KubeRay 1.7 give them out, cut to what is read."""

from __future__ import annotations

import base64
from typing import Any

from fake_kubernetes import RAY_TOKEN, FakeKubernetes

Json = dict[str, Any]

TEAM = "/api/v1/namespaces/team"
CLUSTERS = "/apis/ray.io/v1/namespaces/team/rayclusters"
JOBS = "/apis/ray.io/v1/namespaces/team/rayjobs"
HEAD = "sweeps-cifar-ray-head-x2x7b"


def node(name: str, *, gpus: int = 0, cpu: str = "15890m", labels: Json | None = None, taints: Any = ()) -> Json:
    allocatable = {"cpu": cpu, "memory": "62Gi", "ephemeral-storage": "95551679124", "pods": "110"}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name} | (labels or {})},
        "spec": {"taints": list(taints)},
        "status": {
            "allocatable": allocatable | ({"nvidia.com/gpu": str(gpus)} if gpus else {}),
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
        },
    }


def pod(name: str, *, group: str, node_name: str | None = None, gpus: int = 0, namespace: str = "team") -> Json:
    kind = "head" if group == "headgroup" else "worker"
    ready = "True" if node_name else "False"
    requests = {"cpu": "4", "memory": "8Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    labels = {"ray.io/cluster": "sweeps-cifar-ray", "ray.io/node-type": kind, "ray.io/group": group}
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "containers": [{"name": "ray", "resources": {"requests": requests}}],
        }
        | ({"nodeName": node_name} if node_name else {}),
        "status": {
            "phase": "Running" if node_name else "Pending",
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def template(*, gpus: int = 0, **spec: Any) -> Json:
    requests = {"cpu": "4", "memory": "16Gi"}
    limits = requests | ({"nvidia.com/gpu": gpus} if gpus else {})
    keys = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": "s3-keys", "key": name}}}
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    ]
    env = [{"name": "CIFAR_RAY_STORAGE", "value": "s3://sweeps/results"}, *keys]
    ray = {"name": "ray", "image": "x", "env": env, "resources": {"requests": requests, "limits": limits}}
    return {"spec": {"serviceAccountName": "sweeps-cifar-ray", "containers": [ray]} | spec}


def ray_cluster() -> Json:
    labels = {"app.kubernetes.io/name": "cifar-ray", "app.kubernetes.io/instance": "sweeps"}
    group = {
        "groupName": "a100",
        "replicas": 1,
        "minReplicas": 0,
        "maxReplicas": 4,
        "numOfHosts": 1,
        "template": template(gpus=1, tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]),
    }
    return {
        "metadata": {"name": "sweeps-cifar-ray", "namespace": "team", "uid": "1", "labels": labels},
        "spec": {
            "rayVersion": "2.60.0",
            "enableInTreeAutoscaling": True,
            "authOptions": {"mode": "token"},
            "headGroupSpec": {"template": template()},
            "workerGroupSpecs": [group],
        },
        "status": {
            "state": "ready",
            "head": {"podName": HEAD, "serviceName": "sweeps-cifar-ray-head-svc"},
            "conditions": [{"type": "HeadPodReady", "status": "True", "reason": "HeadPodRunningAndReady"}],
        },
    }


def secret(name: str, **data: str) -> Json:
    return {"metadata": {"name": name}, "data": {key: base64.b64encode(v.encode()).decode() for key, v in data.items()}}


def operator(tag: str = "v1.7.0", available: int = 1) -> Json:
    containers = [{"name": "kuberay-operator", "image": f"quay.io/kuberay/operator:{tag}"}]
    labels = {"app.kubernetes.io/name": "kuberay-operator"}
    return {
        "metadata": {"name": "kuberay-operator", "namespace": "kuberay", "labels": labels},
        "spec": {"template": {"spec": {"containers": containers}}},
        "status": {"availableReplicas": available},
    }


def ray_job(name: str, *, deployment: str, job: str = "", message: str = "") -> Json:
    status = {"jobDeploymentStatus": deployment, "jobStatus": job, "jobId": f"{name}-abcde", "message": message}
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": "sweeps"}},
        "spec": {},
        "status": status,
    }


def fill(fake: FakeKubernetes) -> None:
    """A cluster on which all is well: the operator, a GPU node, the release `sweeps` in namespace `team`."""
    kinds = [{"name": name} for name in ("rayclusters", "rayclusters/status", "rayjobs", "rayservices")]
    tainted = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    pods = [
        pod(HEAD, group="headgroup", node_name="cpu-1"),
        pod("sweeps-cifar-ray-a100-worker-m9k2d", group="a100", node_name="gpu-1", gpus=1),
    ]
    of_a_job = ray_cluster()
    of_a_job["metadata"] |= {"name": "cnn-x7x2p"}
    of_a_job["metadata"]["labels"] |= {"ray.io/originated-from-crd": "RayJob"}
    fake.objects = {
        "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.1"},
        "/apis": {"groups": [{"name": "apps"}, {"name": "ray.io"}]},
        "/apis/ray.io/v1": {"groupVersion": "ray.io/v1", "resources": kinds},
        "/apis/apps/v1/deployments": [operator()],
        "/api/v1/nodes": [node("cpu-1"), node("gpu-1", gpus=2, taints=tainted)],
        "/api/v1/pods": pods,
        f"{TEAM}/pods": pods,
        f"{TEAM}/events": [],
        CLUSTERS: [ray_cluster(), of_a_job],
        JOBS: [ray_job("sweeps-cnn", deployment="Running", job="RUNNING")],
        f"{TEAM}/secrets/sweeps-cifar-ray": secret("sweeps-cifar-ray", auth_token=RAY_TOKEN),
        f"{TEAM}/secrets/s3-keys": secret("s3-keys", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b"),
        f"{TEAM}/serviceaccounts/sweeps-cifar-ray": {"metadata": {"name": "sweeps-cifar-ray"}},
    }
