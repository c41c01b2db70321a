"""A sweep of the tests' own process: trials that only sleep, on nodes that are killed one after the other.

python sweep.py FOLDER TRIALS NODES SECONDS    kills a node every SECONDS, and starts another; prints what was lost
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import ray
from ray.cluster_utils import Cluster

from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.split import TrainingData, split
from cifar_ray.provenance import now
from cifar_ray.records import EpochMetrics, SweepRecord
from cifar_ray.settings import read_settings
from cifar_ray.statistics import CLASSES
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study
from cifar_ray.tuning import sweep
from cifar_ray.tuning.epoch_report import report_epoch
from cifar_ray.tuning.trainable import TrialPlan, run_trial

NUM_EPOCHS = 4
NAP_S = 0.5
OBJECT_STORE_BYTES = 80 << 20


def sleep_trial(assignment: dict[str, Any], *, data: TrainingData, plan: TrialPlan) -> None:
    """In place of training."""
    for epoch in range(1, NUM_EPOCHS + 1):
        time.sleep(NAP_S)
        luck = hashlib.sha256(f"{assignment['trial_id']} {epoch}".encode()).digest()[0] / 255
        line = EpochMetrics(
            trial_id=assignment["trial_id"],
            epoch=epoch,
            train_loss=1.0,
            train_accuracy=luck,
            validation_loss=1.0,
            validation_accuracy=luck,
            learning_rate=0.1,
            seconds=NAP_S,
        )
        report_epoch(line)


sleep_trial.__mixins__ = run_trial.__mixins__  # type: ignore[attr-defined]


def lose_nodes(cluster: Cluster, period_s: float, has_ended: threading.Event) -> int:
    """Until the sweep has ended; returns how many."""
    rng, num_lost = random.Random(0), 0
    while not has_ended.wait(period_s):
        node = rng.choice(sorted(cluster.worker_nodes, key=lambda each: each.unique_id))
        # as a machine dies, with all that runs on it
        for process in with_children(node.all_processes["raylet"][0].process.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        cluster.remove_node(node, allow_graceful=False)
        # which a thread may not set
        with patch("ray._private.utils.set_sigterm_handler"):
            cluster.add_node(wait=False, num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)
        num_lost += 1
    return num_lost


def with_children(process: int) -> list[int]:
    """The process, those that it has started, and theirs."""
    found = [process]
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        found += [each for child in task.read_text().split() for each in with_children(int(child))]
    return found


def main(folder: str, num_trials: int, num_nodes: int, period_s: float) -> None:
    """Run it."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (200, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(200, dtype=np.int64) % 10
    data = split(ImageSet(source="random", name="random", images=images, labels=labels, classes=CLASSES), seed=0)
    configs = get_study("cnn").with_budget(num_trials=num_trials, max_epochs=NUM_EPOCHS).sample(0)
    record = SweepRecord(
        sweep_id="losing",
        study="cnn",
        seed=0,
        num_trials=num_trials,
        max_epochs=NUM_EPOCHS,
        grace_period=1,
        reduction_factor=4,
        accelerators_per_trial=0.0,
        cpus_per_trial=1.0,
        dataset=data.record,
        versions={},
        commit=None,
        hardware={},
        started_at=now(),
    )
    plan = sweep.SweepPlan(
        sweep=record, configs=configs, data=data, storage=folder, max_concurrent_trials=num_nodes, num_cohorts=0
    )
    runs = RunStore(FolderStore(Path(folder)))
    runs.create_sweep(record)

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(num_nodes):
        cluster.add_node(wait=False, num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    while sum(node["Alive"] for node in ray.nodes()) <= num_nodes:
        time.sleep(1)
    has_ended, lost = threading.Event(), []
    killer = threading.Thread(target=lambda: lost.append(lose_nodes(cluster, period_s, has_ended)))
    began = time.monotonic()
    killer.start()
    try:
        with patch.object(sweep, "run_trial", sleep_trial):
            sweep.run_sweep(plan, runs, read_settings(), lambda line: print(line, file=sys.stderr, flush=True))
    finally:
        has_ended.set()
        killer.join()
    peak_bytes = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    ray.shutdown()
    cluster.shutdown()
    print(json.dumps({"seconds": time.monotonic() - began, "nodes_lost": lost[0], "peak_bytes": peak_bytes}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
