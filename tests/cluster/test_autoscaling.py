"""The one-machine cluster's workers, as they are asked for; `jobs/test_pools_of_accelerators.py` has some at work."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from ray.autoscaler._private.util import prepare_config, validate_config

from cifar_ray.capacity import TYPE_LABEL
from cifar_ray.cli.local import _workers
from cifar_ray.cli.main import main
from cifar_ray.cluster.autoscaling import LocalPool, autoscaling_config, autoscaling_environment
from cifar_ray.cluster.pool_file import read_pool_file
from cifar_ray.errors import ConfigurationError
from cifar_ray.settings import WorkerPool, read_settings

SPEC = Path(__file__).parents[2] / "cluster" / "local.autoscaling.yaml"
WORKERS = LocalPool(min_nodes=0, max_nodes=4, num_cpus=1, num_gpus=1)


def test_the_spec_is_what_local_up_makes() -> None:
    text = SPEC.read_text()
    assert text.splitlines()[0] == "# cifar-ray local up --autoscaling --workers 0:4 --accelerators-per-worker 1"
    assert yaml.safe_load(text) == autoscaling_config([WORKERS], 6379)
    for name, value in autoscaling_environment([WORKERS]).items():
        assert f"# export {name}={value}\n" in text
    assert "# export RAY_AUTH_MODE=token\n" in text


@pytest.mark.parametrize(
    ("least", "most", "cpus", "accelerators"), [(2, 1, 1, 1), (0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, -1)]
)
def test_impossible_workers_are_refused(least: int, most: int, cpus: int, accelerators: int) -> None:
    with pytest.raises(ConfigurationError):
        LocalPool(min_nodes=least, max_nodes=most, num_cpus=cpus, num_gpus=accelerators)


def test_the_public_file_is_read_as_the_workers_that_it_starts() -> None:
    assert read_pool_file(SPEC) == (WORKERS,)


@pytest.mark.usefixtures("ascii_locale")
def test_a_file_of_pools_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    file = tmp_path / "pools.yaml"
    file.write_bytes("# für uns\n".encode() + SPEC.read_bytes())
    assert read_pool_file(file) == (WORKERS,)


def test_pools_of_a_file_are_told_to_ray_and_to_jobs(tmp_path: Path) -> None:
    file = tmp_path / "pools.yaml"
    spec = yaml.safe_load(SPEC.read_text())
    spec["available_node_types"]["big"] = {
        "resources": {"CPU": 8, "GPU": 2},
        "labels": {"ray.io/accelerator-type": "H100"},
        "min_workers": 1,
        "max_workers": 3,
    }
    file.write_text(yaml.safe_dump(spec))
    pools = read_pool_file(file)
    told = {each.name: each for each in read_settings(dict(autoscaling_environment(pools))).worker_pools}
    assert told["big"] == WorkerPool(name="big", max_nodes=3, num_cpus=8, num_gpus=2, accelerator="H100")
    config = autoscaling_config(pools, 1)
    assert config["max_workers"] == 7
    big = config["available_node_types"]["big"]
    assert (big["min_workers"], big["max_workers"]) == (1, 3)
    assert big["labels"] == {"ray.io/accelerator-type": "H100"}
    assert (big["resources"]["CPU"], big["resources"]["GPU"]) == (8, 2)
    validate_config(prepare_config(config))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "available_node_types: {}",
        "{head_node_type: head, available_node_types: {head: {}}}",
        "{head_node_type: head, available_node_types: {w: {resources: {CPU: many}, max_workers: 1}}}",
        "{head_node_type: head, available_node_types: {w: {resources: {CPU: 1}}}}",
        "{head_node_type: head, available_node_types: {w: {resources: {CPU: 1}, max_workers: .inf}}}",
        "{head_node_type: head, available_node_types: {w: {resources: {CPU: 1, TPU: 4}, max_workers: 1}}}",
        "{head_node_type: head, available_node_types: {a b: {resources: {CPU: 1}, max_workers: 1}}}",
    ],
)
def test_a_file_without_usable_pools_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pools.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError):
        read_pool_file(file)
    with pytest.raises(ConfigurationError):
        read_pool_file(tmp_path / "none.yaml")


_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
_ANYTHING = st.recursive(_VALUES, lambda each: st.lists(each, max_size=3) | st.dictionaries(_VALUES, each, max_size=3))
_COUNTS = st.integers(-1, 4) | st.floats() | _VALUES
_POOLS = st.fixed_dictionaries(
    {"resources": st.fixed_dictionaries({"CPU": _COUNTS}, optional={"GPU": _COUNTS}), "max_workers": _COUNTS},
    optional={"min_workers": _COUNTS, "labels": st.dictionaries(st.just(TYPE_LABEL), _VALUES) | _ANYTHING},
)


@given(_ANYTHING | st.dictionaries(st.text(max_size=9), _POOLS | _ANYTHING, max_size=3))
def test_any_file_is_pools_that_jobs_can_be_told_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kinds: object
) -> None:
    file = tmp_path_factory.getbasetemp() / "pools.yaml"
    file.write_text(yaml.safe_dump({"head_node_type": "head", "available_node_types": kinds}))
    with suppress(ConfigurationError):
        pools = read_pool_file(file)
        told = read_settings(dict(autoscaling_environment(pools))).worker_pools
        assert [(each.name, each.max_nodes) for each in told] == [(each.name, each.max_nodes) for each in pools]


def test_workers_share_the_cores_and_each_has_one() -> None:
    assert [_workers("0:4", cpus, 1).num_cpus for cpus in (16, 2)] == [4, 1]


@pytest.mark.parametrize("text", ["4", "a:b", "1:", "-1:2"])
def test_a_misspelt_range_is_refused(text: str) -> None:
    done = CliRunner().invoke(main, ["local", "up", "--autoscaling", f"--workers={text}"])
    assert done.exit_code == 2
    assert "--workers" in done.output


@pytest.mark.parametrize("autoscaling", [[], ["--autoscaling", str(SPEC)]])
@pytest.mark.parametrize("flag", [["--workers", "0:2"], ["--accelerators-per-worker", "2"]])
def test_flags_that_would_be_ignored_are_refused(autoscaling: list[str], flag: list[str]) -> None:
    outcome = CliRunner().invoke(main, ["local", "up", *autoscaling, *flag])
    assert outcome.exit_code == 2
    assert "apply only to --autoscaling without FILE" in outcome.output


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--autoscaling", "--gpus", "1"], "the head has no accelerators"),
        (["--autoscaling", str(SPEC), "--gpus", "1"], "the head has no accelerators"),
        (["--autoscaling", str(SPEC), "--cpus", "2"], "FILE says what each worker has"),
    ],
)
def test_numbers_that_the_workers_have_of_their_own_are_refused(flags: list[str], says: str) -> None:
    outcome = CliRunner().invoke(main, ["local", "up", *flags])
    assert outcome.exit_code == 2
    assert says in outcome.output
