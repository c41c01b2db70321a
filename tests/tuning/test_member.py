"""Trials of cohorts that have several engines, some without a node, under real Ray."""

import json
from pathlib import Path
from typing import Any

import pytest
from ray_scripts import run_script

from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ENGINES = """
import json, os, threading, time
from dataclasses import replace

import ray
from ray.cluster_utils import Cluster

from cifar_ray.errors import NotAMemberError
from cifar_ray.records import EpochMetrics
from cifar_ray.tuning import engine_watch, member
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.engine_watch import EngineWatch
from cifar_ray.tuning.standing import Standing

LINE = EpochMetrics(trial_id="t0000", epoch=1, train_loss=1.0, train_accuracy=0.5, validation_loss=1.0,
                    validation_accuracy=0.5, learning_rate=0.1, seconds=1.0)

class Engine:
    def __init__(self):
        self.drained, self.left, self.expected = False, [], []
        # it dies after the first epoch, and is back
        self.answers = [LINE, NotAMemberError("no member"), replace(LINE, epoch=2), None]

    def identify(self):
        return str(os.getpid())

    def join(self, assignment):
        return [] if self.answers[0] == LINE else [LINE]

    def next_epoch(self, trial_id):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer and (answer, [Standing.of(answer)])

    def leave(self, trial_id):
        self.left.append(trial_id)

    def all_left(self):
        return self.left

    def expect(self, num_members):
        self.expected.append(num_members)

    def all_expected(self):
        return self.expected

    def drain(self):
        self.drained = True

    def has_drained(self):
        return self.drained

def open_watch(*names, num_trials=9):
    watch = EngineWatch([engines[name] for name in names], num_trials)
    watch.start()
    return watch

def place(watch, trial_id, began=None):
    # from when on it may have been waited for: before the call, another thread may have begun to count
    began = time.monotonic() if began is None else began
    chosen = watch.place(trial_id)
    return next(name for name in engines if engines[name] == chosen), time.monotonic() - began

def count(awaited, watch):
    for _ in range(120):
        if watch.num_up() == awaited:
            break
        time.sleep(0.25)
    return watch.num_up()

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
spot = cluster.add_node(num_cpus=1, resources={"spot": 1})
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
engine_watch.ANSWER_DEADLINE_S, engine_watch.START_DEADLINE_S = 3.0, 6.0
actor = ray.remote(max_restarts=-1, num_cpus=0)(Engine)
engines = {
    "one": actor.remote(),
    "spot": actor.options(resources={"spot": 1}).remote(),
    "nowhere": actor.options(resources={"nowhere": 1}).remote(),
}
both = [engines["one"], engines["spot"]]
ray.get([engine.identify.remote() for engine in both])

began = time.monotonic()
watch = open_watch("one", "spot", "nowhere")
first = place(watch, "t0000", began)
found = {"placed": [first, *(place(watch, f"t000{index}") for index in range(1, 4))], "up": [watch.num_up()]}
found["together"] = place(open_watch("one", "spot"), "t0000")
cluster.remove_node(spot)
watch.release("t0001", engines["spot"])
found["up"].append(count(1, watch))
found["left"], _ = place(watch, "t0001")
cluster.add_node(num_cpus=1, resources={"spot": 1})
found["up"].append(count(2, watch))
# it had moved to the one, of which it may not know yet
watch.release("t0001", engines["one"])
found["back"], _ = place(watch, "t0001")
found["let_go"] = ray.get(engines["one"].all_left.remote())
began = time.monotonic()
watch.doubt(engines["one"], is_ending=False)
found["again"] = place(watch, "t0000", began)

watch.end()
began = time.monotonic()
watch.drain()
found["drained_s"] = time.monotonic() - began
found["drained"] = ray.get([engine.has_drained.remote() for engine in both])
assert watch.place("t0009") is None

trial = member.Member(assign("t0000", {}), open_watch("one", num_trials=1))
told = list(iter(trial.train, {"__duplicate__": True}))
found["expected"] = ray.get(engines["one"].all_expected.remote())
found["epochs"] = [result["epoch"] for result in told]
found["standings"] = [[each.epoch for each in result["pass"]] for result in told]

# a sweep that ends while its trial waits for an engine without a node
waiting = open_watch("nowhere")
threading.Timer(1.0, waiting.end).start()
assert member.Member(assign("t0000", {}), waiting).train() == {"__duplicate__": True}
print(json.dumps(found))
"""
SWEEP = """
import os
import signal
import sys
import threading
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import ray
from ray.cluster_utils import Cluster

from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.split import split
from cifar_ray.errors import InterruptedSweepError
from cifar_ray.provenance import now
from cifar_ray.records import SweepRecord
from cifar_ray.cifar10 import CLASSES
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study
from cifar_ray.tuning import engine_watch, watchdog
from cifar_ray.tuning.finals import run_with_finals
from cifar_ray.tuning.sweep import SweepPlan

storage, max_epochs, num_nodes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
running = Path(storage + "-engines")
running.mkdir()

def wait_for_all_engines():
    # after the first passes of the one that is there; then there is time to move trials between two passes
    from cifar_ray.tuning.engine import CohortEngine

    def wait_for_members(engine):
        (running / str(os.getpid())).touch()
        if engine._cohort._data_pass >= 2:
            while len(list(running.iterdir())) < num_nodes:
                time.sleep(0.1)
            time.sleep(0.5 * (num_nodes > 1))
        return wait(engine)

    wait = CohortEngine._wait_for_members
    CohortEngine._wait_for_members = wait_for_members

def add_node_later():
    while not list(runs.metrics("two")):
        time.sleep(0.2)
    # it sets what a thread may not
    with patch("ray._private.utils.set_sigterm_handler"):
        cluster.add_node(num_cpus=2)
    # its processes end with the thread that started them
    threading.Event().wait()

images = np.random.default_rng(0).integers(0, 255, (200, 3, 32, 32), dtype=np.uint8)
labels = np.arange(200, dtype=np.int64) % 10
data = split(ImageSet(source="random", name="random", images=images, labels=labels, classes=CLASSES), seed=0)
record = SweepRecord(
    sweep_id="two", study="cnn", seed=0, num_trials=4, max_epochs=max_epochs, grace_period=max_epochs,
    reduction_factor=4, accelerators_per_trial=0.0, cpus_per_trial=2.0, dataset=data.record, versions={}, commit=None,
    hardware={}, started_at=now(), is_cohort=True,
)
configs = get_study("cnn").with_budget(num_trials=4, max_epochs=max_epochs).sample(0)
plan = SweepPlan(
    sweep=record, configs=configs, data=data, storage=storage, max_concurrent_trials=4, num_cohorts=2
)
runs = RunStore(FolderStore(Path(storage)))
runs.create_sweep(record)
# one engine takes both
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2 * min(1, num_nodes), "include_dashboard": False})
hook = {"worker_process_setup_hook": wait_for_all_engines}
ray.init(address=cluster.address, runtime_env=hook, log_to_driver=False, logging_level="ERROR")
watchdog.PERIOD_S, engine_watch.START_DEADLINE_S = 0.5, 2.0
if num_nodes == 2:
    threading.Thread(target=add_node_later, daemon=True).start()
if num_nodes == 0:
    # as `job stop` does
    threading.Timer(5.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
try:
    run_with_finals(plan, runs, lambda line: print(line, file=sys.stderr))
except InterruptedSweepError as error:
    print(error)
# Ray Tune would count the callbacks of the first two, and a driver trains nothing
assert not {"mlflow", "wandb", "torch"} & {*sys.modules}
ray.shutdown()
cluster.shutdown()
"""


def test_a_trial_joins_an_engine_that_is_there(tmp_path: Path) -> None:
    found: dict[str, Any] = json.loads(run_script(ENGINES, timeout_s=200).splitlines()[-1])
    names, waited_s = zip(*found["placed"], strict=True)
    assert names == ("one", "spot", "one", "spot"), "the emptiest of those that are up"
    assert waited_s[0] >= 6, "for some time, since engines start together"
    assert max(waited_s[1:]) < 3
    together, at_once_s = found["together"]
    assert together == "one"
    assert at_once_s < 3, "all are up"
    assert found["left"] == "one", "one that was lost is not the emptiest"
    assert found["back"] == "spot"
    assert found["let_go"] == ["t0001"] * 2, "as it left, and before it joined another: two would prune its epochs"
    assert found["up"] == [2, 1, 2], "one loses its node for a while"
    assert 3 <= found["again"][1] < 6, "all are asked at once, and one without a node is waited for for a moment"
    assert found["drained"] == [True, True]
    assert found["drained_s"] < 6, "nothing is to come from one without a node, and a job that is stopped has 20 s"
    assert found["expected"] == [1, 0, 1, 0], "the sweep's only trial has joined, and joins anew"
    assert found["epochs"] == [1, 2], "a stranger joins anew"
    assert found["standings"] == [[1], [2]], "of each pass"


@pytest.mark.fault("nodes come and go")
@pytest.mark.chaos
def test_all_trials_end_where_only_one_of_two_engines_has_a_node(tmp_path: Path) -> None:
    run_script(SWEEP, str(tmp_path), "2", "1", timeout_s=200)
    result = RunStore(FolderStore(tmp_path)).result("two")
    assert result is not None
    assert result.outcomes == {"completed": 4}
    assert result.num_epochs == 8


@pytest.mark.fault("nodes come and go")
@pytest.mark.chaos
def test_trials_go_on_in_an_engine_that_gets_its_node_late(tmp_path: Path) -> None:
    num_epochs = 20
    run_script(SWEEP, str(tmp_path), str(num_epochs), "2", timeout_s=200)
    runs = RunStore(FolderStore(tmp_path))
    result = runs.result("two")
    assert result is not None
    assert result.outcomes == {"completed": 4}
    lines = sorted(runs.metrics("two"), key=lambda line: (line.trial_id, line.epoch))
    assert [line.epoch for line in lines] == [*range(1, num_epochs + 1)] * 4
    assert max(line.num_sharing for line in lines) == 4, "beyond its two places"
    assert [line.num_sharing for line in lines if line.epoch == num_epochs - 4] == [2] * 4


def test_a_sweep_whose_trials_wait_for_a_node_can_be_stopped(tmp_path: Path) -> None:
    said = run_script(SWEEP, str(tmp_path), "2", "0", timeout_s=100)
    assert "sweep two was interrupted before all trials had ended" in said
    runs = RunStore(FolderStore(tmp_path))
    assert runs.result("two") is None
    assert [trial.outcome for trial in runs.trials("two")] == ["running"] * 4, "the last records have been written"
