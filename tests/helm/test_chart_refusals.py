"""Bad values fail before anything is installed, with a message that names the value."""

from __future__ import annotations

from typing import Any

import pytest
from chart import STORE, Chart, one

from cifar_ray.errors import ConfigurationError
from cifar_ray.settings import S3Settings
from cifar_ray.storage.object_store import open_store

LONG = "a-release-with-a-name-of-forty-one-letters"
NOWHERE = S3Settings(endpoint_url=None, region="us-east-1")
CNN_SCORED = {name: {"enabled": True} for name in ("cnn", "evaluate")}
BAD_STORES = [
    ("s3://bucket/a//b", "/objectStore/uri"),
    ("s3://bucket//", "/objectStore/uri"),
    ("s3://bucket/../x", "objectStore.uri: "),
    ("s3://bucket/x/.", "objectStore.uri: "),
    ("s3://10.0.0.1/x", "objectStore.uri: S3 takes no bucket with an address for a name"),
    ("s3://10.0.0.1", "objectStore.uri: S3 takes no bucket with an address for a name"),
]


def gpu(**values: Any) -> dict[str, Any]:
    return STORE | {"workerGroups": {"gpu": values}}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "objectStore.uri"),
        (STORE | {"image": {"repository": ""}}, "image.repository: name your image's, REGISTRY/cifar-ray"),
        (STORE | {"image": {"repository": "reg:5000/cifar-ray:1.0"}}, "/image/repository"),
        *[
            (STORE | {"image": {"repository": name}}, "/image/repository")
            for name in (
                "reg/cifar-ray@sha256:0",
                "https://reg/cifar-ray",
                "reg/cifar-ray/",
                "reg/Cifar",
                "reg//x",
                "/x",
            )
        ],
        *[
            (
                {"objectStore": {"uri": "s3://bucket", "endpoint": f"https://minio:{port}"}},
                "objectStore.endpoint: ports",
            )
            for port in (65536, "99999/")
        ],
        ({"objectStore": {"uri": "s3://bucket", "endpoint": "http://minio:0"}}, "/objectStore/endpoint"),
        ({"objectStore": {"uri": "s3://bucket", "endpoint": "http://minio:100000"}}, "/objectStore/endpoint"),
        (STORE | {"gcsFaultTolerance": {"redisAddress": "redis:65536"}}, "gcsFaultTolerance.redisAddress: ports"),
        (STORE | {"gcsFaultTolerance": {"redisAddress": "redis:163790"}}, "/gcsFaultTolerance/redisAddress"),
        *[
            (STORE | {"extraEnv": {name: "x"}}, f"propertyName '{name}'")
            for name in ("RAY_AUTH_MODE", "REDIS_PASSWORD", "RAY_enable_autoscaler_v2")
        ],
        ({"objectStore": {"uri": "s3://bucket", "embedded": {"enabled": True}}}, "objectStore.uri"),
        ({"objectStore": {"uri": "https://bucket"}}, "/objectStore/uri"),
        *[({"objectStore": {"uri": uri}}, named) for uri, named in BAD_STORES],
        *[
            (STORE | {"data": {"source": uri}}, named.replace("objectStore.uri", "data.source"))
            for uri, named in BAD_STORES
            if named.startswith("objectStore.uri")
        ],
        (STORE | {"data": {"source": "s3://bucket/a//b"}}, "/data/source"),
        (STORE | {"data": {"source": "s3://Bucket"}}, "/data/source"),
        ({"objectStore": {"embedded": {"enabled": True}, "endpoint": "http://minio:9000"}}, "objectStore.endpoint"),
        ({"objectStore": {"embedded": {"enabled": True}, "existingSecret": "keys"}}, "objectStore.existingSecret"),
        (STORE | {"objectstore": {}}, "objectstore"),
        (STORE | {"head": {"resources": {"memmory": "1Gi"}}}, "memmory"),
        (gpu(maximum=3), "maximum"),
        (gpu(min=5), "workerGroups.gpu.min"),
        (gpu(min=-1), "/workerGroups/gpu/min"),
        (gpu(accelerators=0.5), "/workerGroups/gpu/accelerators"),
        (gpu(acceleratorResource="nvidia.com/mig-1g.5gb"), "/workerGroups/gpu/acceleratorResource"),
        (gpu(market="cheap"), "/workerGroups/gpu/market"),
        *[
            (gpu(resources={"memory": size}), "/workerGroups/gpu/resources/memory")
            for size in ("16GB", "512m", "16", "0Gi", "0.0Gi", "0000000")
        ],
        (STORE | {"security": {"writableSize": "20"}}, "/security/writableSize"),
        ({"objectStore": {"embedded": {"enabled": True, "size": "20m"}}}, "/objectStore/embedded/size"),
        *[(gpu(resources={"cpu": cpu}), "/workerGroups/gpu/resources/cpu") for cpu in ("0", "0.0", "0m")],
        (gpu(terminationGracePeriodSeconds=5), "/workerGroups/gpu/terminationGracePeriodSeconds"),
        (gpu(terminationGracePeriodSeconds=None), "/workerGroups/gpu/terminationGracePeriodSeconds"),
        (
            STORE | {"workerDefaults": {"terminationGracePeriodSeconds": None}},
            "workerGroups.gpu.terminationGracePeriodSeconds",
        ),
        (STORE | {"security": {"runAsUser": 0}}, "security.runAsNonRoot=true; set that to false too"),
        (STORE | {"workerDefaults": {"resources": {"cpu": None}}}, "workerGroups.gpu.resources.cpu"),
        (gpu(priority=1) | {"rayVersion": "2.55.0"}, "workerGroups.gpu.priority"),
        (STORE | {"workerGroups": {"gpu": None}}, "/workerGroups"),
        (STORE | {"workerGroups": {"gpu": None, "spare": None}}, "workerGroups: all are null"),
        (STORE | {"workerGroups": {"GPU_1": {}}}, "GPU_1"),
        (STORE | {"workerGroups": {"head": {}}}, "propertyName 'head'"),
        (STORE | {"workerGroups": {"headgroup": {}}}, "propertyName 'headgroup'"),
        (STORE | {"rayVersion": "2.51.0"}, "rayVersion"),
        (STORE | {"rayVersion": "latest"}, "/rayVersion"),
        (STORE | {"image": {"digest": "sha256:abc"}}, "/image/digest"),
        (STORE | {"kueue": {"queueName": "team"}}, "kueue.queueName"),
        (STORE | {"studies": {"vgg": {"enabled": True}}}, "vgg"),
        (STORE | {"studies": {"cnn": {"enabled": True, "backoffLimit": 2}}}, "studies.cnn.backoffLimit"),
        (STORE | {"studyDefaults": {"sweepId": "one-for-all"}}, "sweepId"),
        (STORE | {"serviceAccount": {"create": False}}, "serviceAccount.name"),
        (STORE | {"serviceAccount": {"create": False, "name": 51 * "a"}}, "serviceAccount.name: KubeRay"),
        (STORE | {"serviceAccount": {"create": False, "name": "9-to-5"}}, "serviceAccount.name: KubeRay"),
        (STORE | {"networkPolicy": {"store": []}}, "networkPolicy.store"),
        (STORE | {"networkPolicy": {"apiServer": []}}, "networkPolicy.apiServer"),
        (
            STORE | {"networkPolicy": {"prometheus": []}, "monitoring": {"podMonitor": {"enabled": True}}},
            "networkPolicy.prometheus",
        ),
        (gpu(resources={"cpu": "2k"}), "/workerGroups/gpu/resources/cpu"),
        (
            STORE
            | {
                "autoscaler": {"enabled": False},
                "studies": {"cnn": {"enabled": True}, "evaluate": {"enabled": True, "ownCluster": True}},
            },
            "studies.evaluate.ownCluster",
        ),
        (
            gpu(min=1) | {"studies": {"cnn": {"enabled": True}, "evaluate": {"enabled": True, "ownCluster": True}}},
            "studies.evaluate.ownCluster: its cluster would hold the 1 workers of workerGroups.gpu.min",
        ),
        (STORE | {"studies": {"cnn": {"args": ["; rm -rf /"]}}}, "/studies/cnn/args/0"),
        (STORE | {"studies": {"evaluate": {"args": ["--storage=s3://mine"]}}}, "args"),
        (STORE | {"studies": {"cnn": {"sweepId": "a b"}}}, "/studies/cnn/sweepId"),
        (STORE | {"studies": {"cnn": {"sweepId": "CNN_v2"}}}, "/studies/cnn/sweepId"),
        (STORE | {"studies": {"evaluate": {"enabled": True, "sweeps": ["CNN_v2"]}}}, "/studies/evaluate/sweeps/0"),
        (
            STORE
            | {
                "studies": {
                    "cnn": {"enabled": True, "ownCluster": True, "backoffLimit": 1, "args": ["--time-limit=2h"]}
                }
            },
            "studies.cnn.backoffLimit",
        ),
        *[
            (
                STORE | {"studies": {"cnn": {"enabled": True, "args": [word]}}},
                f"studies.cnn.args (or studyDefaults.args): {word} is",
            )
            for word in ("--sweep-id", "--sweep-id=a", "--storage=s3://mine", "--resume", "--start-or-resume")
        ],
        (
            STORE | {"studyDefaults": {"args": ["--resume"]}, "studies": {"cnn": {"enabled": True}}},
            "(or studyDefaults.args): --resume is the chart's to give",
        ),
        *[
            (STORE | {"studies": {"cnn": {"enabled": True, "args": args}}}, "set studies.cnn.activeDeadlineSeconds")
            for args in (["--time-limit", "2h"], ["--time-limit=2h"])
        ],
        (
            STORE | {"studies": {name: {"enabled": True, "sweepId": "one"} for name in ("cnn", "fast")}},
            'studies.fast.sweepId: another study has "one"',
        ),
        (
            STORE | {"studies": {"cnn": {"enabled": True, "sweepId": "fast-sweeps"}, "fast": {"enabled": True}}},
            'studies.fast.sweepId: another study has "fast-sweeps"',
        ),
        (STORE | {"studies": {"evaluate": {"enabled": True}}}, "studies.evaluate.sweeps"),
        (
            STORE | {"studyDefaults": {"activeDeadlineSeconds": 172_800}, "studies": CNN_SCORED},
            "studies.evaluate.activeDeadlineSeconds: it would stop waiting before the sweeps' own deadline, 172800 s "
            "with all tries; set it to 183600",
        ),
        (
            STORE | {"studies": CNN_SCORED | {"cnn": {"enabled": True, "ownCluster": True, "backoffLimit": 3}}},
            "set it to 356400",
        ),
        (STORE | {"cluster": {"enabled": False}, "studies": {"cnn": {"enabled": True}}}, "studies.cnn.ownCluster"),
        (STORE | {"gcsFaultTolerance": {"redisAddress": "redis"}}, "/gcsFaultTolerance/redisAddress"),
        (STORE | {"data": {"source": "imagenet"}}, "/data/source"),
        (STORE | {"extraEnv": {"RAY_USAGE_STATS_ENABLED": "1"}}, "RAY_USAGE_STATS_ENABLED"),
        (STORE | {"networkPolicy": {"store": "0.0.0.0/0"}}, "/networkPolicy/store"),
    ],
)
def test_bad_values_are_named(chart: Chart, values: dict[str, Any], named: str) -> None:
    # schema messages write paths with slashes since Helm 4, with dots before
    said = chart.refusal(values)
    assert named in said or named.strip("/").replace("/", ".") in said


@pytest.mark.parametrize("size", ["16Gi", "1.5Gi", "500M", "0.5Ti", "1048576k", "17179869184"])
def test_a_size_that_kubernetes_takes_is_taken(chart: Chart, size: str) -> None:
    (group,) = one(chart.render(gpu(resources={"memory": size})), "RayCluster")["spec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == size


@pytest.mark.parametrize(
    "name", ["x", "a/b-c/d__e.f", "REGISTRY/cifar-ray", "reg.example.com:5000/a/b", "localhost/x", "12"]
)
def test_an_images_name_is_taken(chart: Chart, name: str) -> None:
    assert chart.render(STORE | {"image": {"repository": name}})


@pytest.mark.parametrize(
    "more",
    [
        {"objectStore": {"uri": "s3://b-1", "endpoint": "http://minio7:65535/"}},
        {"gcsFaultTolerance": {"redisAddress": "r:65535"}},
    ],
)
def test_the_highest_port_is_taken(chart: Chart, more: dict[str, Any]) -> None:
    assert chart.render(STORE | more)


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/", "s3://a-1.b_c/.a/..b/c d../", "s3://1.2.3.4.5/x"])
def test_a_store_that_the_chart_takes_is_one_to_every_pod(chart: Chart, uri: str) -> None:
    assert chart.render({"objectStore": {"uri": uri}})
    assert chart.render(STORE | {"data": {"source": uri}})
    assert open_store(uri, NOWHERE).uri == uri.rstrip("/")


@pytest.mark.parametrize(
    "uri",
    [
        *["s3://bucket/a//b", "s3://bucket/../x", "s3://bucket/x/..", "s3://bucket/.", "s3://bucket/./x"],
        *["s3://10.0.0.1/x", "s3://10.0.0.1", "s3://10.0.0.1/"],
        *["s3://ab", "s3://Bucket", "s3://bucket-", "s3://me@bucket", "s3://me:key@bucket/x", "s3://bucket?x"],
        *["s3://_bucket", "S3://bucket", "s3:/bucket", "s3://", f"s3://{64 * 'a'}"],
    ],
)
def test_the_chart_takes_no_store_that_every_pod_refuses(chart: Chart, uri: str) -> None:
    with pytest.raises(ConfigurationError):
        open_store(uri, NOWHERE)
    assert chart.refusal({"objectStore": {"uri": uri}})
    assert chart.refusal(STORE | {"data": {"source": uri}})


def test_an_evaluation_need_not_see_out_sweeps_that_it_is_named(chart: Chart) -> None:
    longer = {"studyDefaults": {"activeDeadlineSeconds": 172_800}}
    assert chart.render(STORE | longer | {"studies": CNN_SCORED | {"evaluate": {"enabled": True, "sweeps": ["old"]}}})
    # to the second
    for seconds in (181_800, 181_799):
        values = (
            STORE | longer | {"studies": CNN_SCORED | {"evaluate": {"enabled": True, "activeDeadlineSeconds": seconds}}}
        )
        assert (chart.run(values).returncode == 0) is (seconds == 181_800)


@pytest.mark.parametrize("release", [LONG, "1st"])
def test_a_bad_release_name_is_named(chart: Chart, release: str) -> None:
    said = chart.refusal(STORE, release)
    assert "release name" in said
    assert f"{release}-cifar-ray" in said


def test_the_embedded_stores_name_leaves_room_for_the_hash_of_its_pods(chart: Chart) -> None:
    embedded = {"objectStore": {"embedded": {"enabled": True}}}
    assert chart.render(embedded, LONG[:36])
    assert "release name" in chart.refusal(embedded, LONG[:37])
    assert chart.render(STORE, LONG[:37])


def test_a_jobs_name_may_be_shorter_than_a_clusters(chart: Chart) -> None:
    release = LONG[:32]
    assert chart.render(STORE, release)
    said = chart.refusal(STORE | {"studies": {"resnet-schedule": {"enabled": True}}}, release)
    assert "studies.resnet-schedule.enabled" in said


def test_a_release_of_the_charts_name_is_not_named_twice(chart: Chart) -> None:
    names = {each["metadata"]["name"] for each in chart.render(STORE, "cifar-ray") if each["kind"] == "RayCluster"}
    assert names == {"cifar-ray"}
