"""Work on a node of a real Ray that has room for none of it, and work whose process dies."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray_scripts import run_script

from cifar_ray.errors import CifarRayError
from cifar_ray.tuning.remote import run_each_on_best_node

CALLS = """
import json, sys, time

import ray

from cifar_ray.capacity import NodeKind
from cifar_ray.errors import CifarRayError
from cifar_ray.tuning import remote

remote.DEADLINE_S = 3.0
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
kinds = [NodeKind(name="head", resources={"CPU": 1.0}, max_nodes=1)]

@ray.remote(num_cpus=1)
class Hog:
    def ready(self):
        return True

def write(path):
    open(path, "w").close()

hog = Hog.remote()
ray.get(hog.ready.remote())
began = time.monotonic()
try:
    remote.run_each_on_best_node(kinds, write, [(sys.argv[1] + name,) for name in "abc"])
except CifarRayError as error:
    told = str(error)
took = time.monotonic() - began
ray.kill(hog)
# time enough for whatever still waits
time.sleep(3)
print(json.dumps({"told": told, "took": took}))
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_all_calls_share_one_deadline_and_none_is_made_after_it(tmp_path: Path) -> None:
    seen = json.loads(run_script(CALLS, f"{tmp_path}/").splitlines()[-1])
    assert seen["told"] == "no result within 3.0 s"
    assert seen["took"] < 6
    assert list(tmp_path.iterdir()) == []


ON_ALL_CORES = """
import json

import ray
import torch

from cifar_ray.capacity import NodeKind
from cifar_ray.tuning import remote

ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

def count(_):
    return torch.get_num_threads(), ray.get_runtime_context().get_assigned_resources()["CPU"]

kinds = [NodeKind(name="head", resources={"CPU": 3.0}, max_nodes=1)]
print(json.dumps(remote.run_each_on_best_node(kinds, count, [("sweep",)])[0]))
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_a_call_computes_on_every_core_of_its_node_and_reserves_one() -> None:
    assert json.loads(run_script(ON_ALL_CORES).splitlines()[-1]) == [[3, 1.0]]


Work = Callable[[str], str]


@pytest.fixture
def failing_on_b(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], Work]:
    """Work that raises an error for "b", which Ray would do elsewhere."""

    def failing(error: Exception) -> Work:
        def work(name: str) -> str:
            if name == "b":
                raise error
            return name

        monkeypatch.setattr(
            ray, "remote", lambda **_: lambda _: SimpleNamespace(remote=lambda _, name: partial(work, name))
        )
        return work

    monkeypatch.setattr(ray, "get", lambda call, timeout: call())
    return failing


def test_a_call_that_fails_costs_the_others_nothing(
    failing_on_b: Callable[[Exception], Work], capsys: pytest.CaptureFixture[str]
) -> None:
    error = RuntimeError("no memory")
    work = failing_on_b(ray.exceptions.RayTaskError("work", "Traceback ...\nRuntimeError: no memory", error))
    results, failure = run_each_on_best_node([], work, [("a",), ("b",), ("c",)])
    assert results == ["a", "c"]
    assert failure is not None
    assert failure.message == "the work on b failed: RuntimeError: no memory"
    assert "RuntimeError: no memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [ray.exceptions.WorkerCrashedError(), ray.exceptions.OutOfMemoryError("no memory\nfor it")]
)
def test_a_call_whose_process_dies_costs_the_others_nothing(
    error: Exception, failing_on_b: Callable[[Exception], Work]
) -> None:
    work = failing_on_b(error)
    results, failure = run_each_on_best_node([], work, [("a",), ("b",), ("c",)])
    assert results == ["a", "c"]
    assert isinstance(failure, CifarRayError)
    assert failure.message.startswith("the work on b was lost with its process: ")
    assert "\n" not in failure.message
