"""A sweep of the tests' own process: trials that only sleep, on nodes that are killed one after the other.

python sweep.py FOLDER TRIALS NODES SECONDS    kills a node every SECONDS, and starts another; prints what was lost
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import ray
from bare_nodes import BareNodes

from cifar_ray.cifar10 import CLASSES
from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.split import TrainingData, split
from cifar_ray.provenance import now
from cifar_ray.records import EpochMetrics, SweepRecord
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study
from cifar_ray.tuning import sweep
from cifar_ray.tuning.epoch_report import report_epoch
from cifar_ray.tuning.finals import run_with_finals
from cifar_ray.tuning.patient_trainable import PatientTrainable

NUM_EPOCHS = 4
NAP_S = 2.0


def sleep_trial(assignment: dict[str, Any], *, data: TrainingData, plan: dict[str, Any]) -> None:
    """In place of training."""
    checkpoints = CheckpointStore(FolderStore(Path(plan["storage"])), plan["sweep_id"], assignment["trial_id"])
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
        checkpoint = Checkpoint(epoch=epoch, validation_accuracy=luck, config={}, weights=b"w", trainer_state=b"s")
        checkpoints.save(checkpoint)
        report_epoch(line)


# as `run_trial` has it. Its module, and that of its plan, would load torch in each of a hundred processes
sleep_trial.__mixins__ = (PatientTrainable,)  # type: ignore[attr-defined]


def lose_nodes(cluster: BareNodes, period_s: float, has_ended: threading.Event) -> int:
    """Until the sweep has ended; returns how many."""
    rng, num_lost = random.Random(0), 0
    while not has_ended.wait(period_s):
        cluster.kill(rng.choice(cluster.nodes))
        cluster.add()
        num_lost += 1
    # those that this thread has started would end with it, but not what they have started
    for node in cluster.nodes:
        cluster.kill(node)
    return num_lost


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

    cluster = BareNodes()
    for _ in range(num_nodes):
        cluster.add()
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    while sum(node["Alive"] for node in ray.nodes()) <= num_nodes:
        time.sleep(1)
    has_ended, lost = threading.Event(), []
    killer = threading.Thread(target=lambda: lost.append(lose_nodes(cluster, period_s, has_ended)))
    began = time.monotonic()
    killer.start()
    try:
        with patch.object(sweep, "run_trial", sleep_trial), patch.object(sweep, "TrialPlan", dict):
            run_with_finals(plan, runs, lambda line: print(line, file=sys.stderr, flush=True))
    finally:
        has_ended.set()
        killer.join()
    peak_bytes = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    cluster.shutdown()
    print(json.dumps({"seconds": time.monotonic() - began, "nodes_lost": lost[0], "peak_bytes": peak_bytes}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
