"""The specs for `ray up`, read as Ray's cluster launcher reads them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

from cifar_ray.settings import read_settings

FOLDER = Path(__file__).parents[2] / "cluster"
NAMES = ["aws.gpu.yaml", "onprem.gpu.yaml"]

Json = dict[str, Any]


def _spec(name: str) -> Json:
    spec: Json = yaml.safe_load((FOLDER / name).read_text())
    return spec


@pytest.mark.parametrize("name", NAMES)
def test_ray_takes_the_spec(name: str) -> None:
    assert f"ray up cluster/{name}" in (FOLDER / name).read_text().splitlines()[0]
    validate_config(prepare_config(_spec(name)))


@pytest.mark.parametrize("name", NAMES)
def test_rays_own_check_finds_a_typo(name: str) -> None:
    spec = _spec(name)
    spec["idle_timeout_minute"] = spec.pop("idle_timeout_minutes", 5)
    with pytest.raises(ValidationError, match="idle_timeout_minute"):
        validate_config(prepare_config(spec))


@pytest.mark.parametrize("name", NAMES)
def test_every_node_asks_for_the_token_and_says_nothing_home(name: str) -> None:
    spec = prepare_config(_spec(name))
    assert not {"head_image", "worker_image"} & set(spec["docker"]), "one image for all"
    assert {"--env RAY_AUTH_MODE=token", "--env RAY_USAGE_STATS_ENABLED=0"} <= set(spec["docker"]["run_options"])
    assert "--env RAY_JOB_STOP_WAIT_TIME_S=20" in spec["docker"]["run_options"], "its jobs would be killed after 3 s"
    # where `ray get-auth-token` writes it, and where Ray looks for it
    assert spec["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
    assert "RAY_AUTH_TOKEN" not in yaml.safe_dump(spec)


def test_aws_workers_are_spot_instances_that_come_and_go() -> None:
    spec = prepare_config(_spec("aws.gpu.yaml"))
    head, workers = (spec["available_node_types"][each] for each in ("head", "gpu-spot"))
    assert head["resources"]["CPU"] == 0
    assert "InstanceMarketOptions" not in head["node_config"]
    assert workers["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert (workers["min_workers"], workers["max_workers"], spec["max_workers"]) == (0, 4, 4)
    # what g6.xlarge has; Ray asks AWS
    environment = dict(
        each.removeprefix("--env ").split("=", 1) for each in spec["docker"]["run_options"] if "=" in each
    )
    (pool,) = read_settings(environment).worker_pools
    assert (pool.name, pool.max_nodes, pool.num_gpus) == ("gpu-spot", workers["max_workers"], 1)
    assert 0 < spec["idle_timeout_minutes"] <= 5
    assert spec["provider"]["cache_stopped_nodes"] is False
    # no rule but Ray's own: SSH, and the nodes among themselves
    assert "security_group" not in spec["provider"]
    for node in (head, workers):
        assert node["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        assert all(each["Ebs"]["Encrypted"] for each in node["node_config"]["BlockDeviceMappings"])
        assert "IamInstanceProfile" in node["node_config"], "the store's credentials come from a role"


def test_all_own_machines_are_used() -> None:
    spec = _spec("onprem.gpu.yaml")
    count = len(spec["provider"]["worker_ips"])
    assert (spec["min_workers"], spec["max_workers"]) == (count, count)
    found = prepare_config(copy.deepcopy(spec))["available_node_types"]["local.cluster.node"]
    assert (found["min_workers"], found["max_workers"]) == (count, count)
