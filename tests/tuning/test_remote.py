"""Work on a node of a real Ray that has room for none of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

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


def test_all_calls_share_one_deadline_and_none_is_made_after_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALLS, f"{tmp_path}/"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["told"] == "no result within 3.0 s"
    assert seen["took"] < 6
    assert list(tmp_path.iterdir()) == []
