"""Whether memory that a step has freed is there for the next one."""

import os
import subprocess
import sys

from cifar_ray.tuning.connecting import VARIABLES

# the first convolution of a wide speed net has activations of 90 MiB
IN_A_THREAD = """
import ctypes, resource, statistics, threading, torch
from cifar_ray.training.device import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

# PR_SET_THP_DISABLE: huge pages would hide that all is asked for anew
assert ctypes.CDLL(None).prctl(41, 1, 0, 0, 0) == 0

def train():
    keep_freed_memory()
    counts = []
    for _ in range(9):
        before = faults()
        torch.ones(90 * 2**20, dtype=torch.uint8)
        counts.append(faults() - before)
    # a single step may find its block a new place
    print(statistics.median(counts))

thread = threading.Thread(target=train)
thread.start()
thread.join()
"""


def test_large_blocks_stay_with_a_thread_that_trains() -> None:
    command = [sys.executable, "-W", "ignore", "-c", IN_A_THREAD]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, **VARIABLES}
    )
    # 23,000 pages a block, where they are asked for anew
    assert int(done.stdout) < 1000
