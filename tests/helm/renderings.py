"""The values that the chart is rendered with in tests: every example, every switch."""

from __future__ import annotations

from typing import Any

from chart import FOLDER, STORE, load_yaml

from cifar_ray.studies import STUDIES

Values = dict[str, Any]

EVERY_STUDY = {"studies": {name: {"enabled": True} for name in (*STUDIES, "evaluate")}}


def _example(name: str) -> Values:
    values: Values = load_yaml((FOLDER / "examples" / f"{name}.yaml").read_text())
    if not values.get("objectStore", {}).get("embedded"):
        values["objectStore"] = values.get("objectStore", {}) | STORE["objectStore"]
    return values


EXAMPLES = {path.stem: _example(path.stem) for path in sorted((FOLDER / "examples").glob("*.yaml"))}

OPENSHIFT = {
    "security": {
        "runAsNonRoot": False,
        "runAsUser": None,
        "runAsGroup": None,
        "fsGroup": None,
        "seccompProfile": "",
        "allowPrivilegeEscalation": True,
        "dropCapabilities": False,
        "readOnlyRootFilesystem": False,
    }
}

RENDERINGS: dict[str, Values] = {
    "default": STORE,
    **EXAMPLES,
    "every study": STORE | EVERY_STUDY,
    "every study on its own cluster": STORE
    | EVERY_STUDY
    | {
        "cluster": {"enabled": False},
        "studyDefaults": {"ownCluster": True, "backoffLimit": 2, "args": ["--trials", "8"]},
        "studies": {**EVERY_STUDY["studies"], "evaluate": {"enabled": True, "activeDeadlineSeconds": 270_000}},
    },
    "every study of the embedded store": {"objectStore": {"embedded": {"enabled": True, "storageClassName": "fast"}}}
    | EVERY_STUDY,
    "kueue": STORE
    | EVERY_STUDY
    | {
        "kueue": {"queueName": "team"},
        "autoscaler": {"enabled": False},
        "workerGroups": {"gpu": {"max": 2, "priority": 3, "idleTimeoutSeconds": 30}},
        "studyDefaults": {"ownCluster": True},
        "studies": {**EVERY_STUDY["studies"], "evaluate": {"enabled": True, "ownCluster": False}},
    },
    "redis": STORE | {"gcsFaultTolerance": {"redisAddress": "redis:6380", "existingSecret": "redis"}},
    "redis without a password": STORE | {"gcsFaultTolerance": {"redisAddress": "rediss://redis:6379"}},
    "an old Ray": STORE | {"rayVersion": "2.51.0", "auth": {"enabled": False}},
    "all monitoring": STORE
    | {
        "monitoring": {
            "podMonitor": {"enabled": True, "labels": {"release": "p"}},
            "grafanaDashboard": {"enabled": True},
        }
    },
    "no policies": STORE
    | {
        "networkPolicy": {"enabled": False},
        "head": {"podDisruptionBudget": False},
        "serviceAccount": {"create": False, "name": "theirs"},
    },
    "narrow policies": STORE
    | {
        "data": {"source": "shapes"},
        "networkPolicy": {
            "operatorNamespace": "kuberay",
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"port": 80}]}],
        },
    },
    "details": STORE
    | {
        "image": {"digest": f"sha256:{'ab' * 32}", "pullSecrets": ["one", "two"], "pullPolicy": "Always"},
        "extraEnv": {"NCCL_DEBUG": "INFO"},
        "serviceAccount": {"name": "mine", "annotations": {"eks.amazonaws.com/role-arn": "arn"}},
        "objectStore": {
            "uri": "s3://bucket",
            "endpoint": "http://minio.example.com",
            "existingSecret": "keys",
        },
        "head": {
            "nodeSelector": {"pool": "head"},
            "tolerations": [{"operator": "Exists"}],
            "priorityClassName": "high",
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "topology.kubernetes.io/zone",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "head"}},
                }
            ],
        },
        "submitter": {"nodeSelector": {"pool": "cpu"}, "resources": {"memory": "4Gi"}},
        "workerGroups": {
            "gpu": None,
            "amd": {"acceleratorResource": "amd.com/gpu", "accelerators": 8, "accelerator": "MI300X", "min": 1},
            "cpu": {"accelerators": 0, "tolerations": [], "resources": {"cpu": "500m"}, "idleTimeoutSeconds": 600},
            "a100": {
                "market": "spot",
                "priority": 5,
                "affinity": {"podAntiAffinity": {}},
                "runtimeClassName": "nvidia",
            },
        },
    },
    "names that YAML takes for numbers": STORE
    | {
        "image": {"repository": "12", "tag": "30", "pullSecrets": ["1234", "on"]},
        "objectStore": {"uri": "s3://bucket", "existingSecret": "1234"},
        "extraEnv": {"NO": "1234"},
        "serviceAccount": {"create": False, "name": "on"},
        "gcsFaultTolerance": {"redisAddress": "redis:6379", "existingSecret": "1234", "existingSecretKey": "on"},
        "autoscaler": {"enabled": False},
        "kueue": {"queueName": "1234"},
        "networkPolicy": {"operatorNamespace": "1234"},
        "studyDefaults": {"ownCluster": True, "args": ["--data", "shapes:", "--trials", "8"]},
        "studies": {**EVERY_STUDY["studies"], "evaluate": {"enabled": True, "ownCluster": False}},
        "workerGroups": {"gpu": None, "on": {"accelerator": "1234"}},
    },
    "names that YAML takes for numbers, of the embedded store": {
        "image": {"pullSecrets": ["1234"]},
        "serviceAccount": {"name": "on"},
        "objectStore": {
            "embedded": {"enabled": True, "image": "12:30", "storageClassName": "1234"},
        },
    },
}
RELAXED = STORE | EVERY_STUDY | OPENSHIFT
