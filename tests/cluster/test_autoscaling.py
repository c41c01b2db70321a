"""The one-machine cluster's workers, as they are asked for; `tests/jobs/test_growing_cluster.py` has them at work."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cifar_ray.cli.local import local
from cifar_ray.cluster.autoscaling import Workers, autoscaling_config, autoscaling_environment, share_of_cpus
from cifar_ray.errors import ConfigurationError
from cifar_ray.settings import read_settings

SPEC = Path(__file__).parents[2] / "cluster" / "local.autoscaling.yaml"
WORKERS = Workers(least=0, most=4, num_cpus=1, num_accelerators=1)


def test_the_spec_is_what_local_up_makes() -> None:
    text = SPEC.read_text()
    assert text.splitlines()[0] == "# cifar-ray local up --autoscaling --workers 0:4 --accelerators-per-worker 1"
    assert yaml.safe_load(text) == autoscaling_config([WORKERS], 6379)
    for name, value in autoscaling_environment([WORKERS]).items():
        assert f"# export {name}={value}\n" in text
    assert "# export RAY_AUTH_MODE=token\n" in text


def test_jobs_are_told_the_workers() -> None:
    (pool,) = read_settings(dict(autoscaling_environment([WORKERS]))).worker_pools
    assert (pool.max_nodes, pool.num_cpus, pool.num_gpus) == (4, 1, 1)
    resources = autoscaling_config([WORKERS], 1)["available_node_types"][pool.name]["resources"]
    assert (resources["CPU"], resources["GPU"]) == (pool.num_cpus, pool.num_gpus)


@pytest.mark.parametrize(
    ("least", "most", "cpus", "accelerators"), [(2, 1, 1, 1), (0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, -1)]
)
def test_impossible_workers_are_refused(least: int, most: int, cpus: int, accelerators: int) -> None:
    with pytest.raises(ConfigurationError):
        Workers(least=least, most=most, num_cpus=cpus, num_accelerators=accelerators)


def test_workers_share_the_cores_and_each_has_one() -> None:
    assert [share_of_cpus(16, 4), share_of_cpus(2, 4)] == [4, 1]


@pytest.mark.parametrize("text", ["4", "a:b", "1:", "-1:2"])
def test_a_misspelt_range_is_refused(text: str) -> None:
    done = CliRunner().invoke(local, ["up", "--autoscaling", f"--workers={text}"])
    assert done.exit_code == 2
    assert "--workers" in done.output
