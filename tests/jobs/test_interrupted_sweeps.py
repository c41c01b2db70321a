"""Sweeps that are broken off, and gone on with: nothing is lost, nothing is done twice."""

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from interrupts import heed_interrupts
from job_commands import BIN, RecordProperty, Recovery, check_books, num_epochs, run, submit, wait_for
from node_processes import children_of, held, processes, raylets

from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster.local import LocalCluster
from cifar_ray.records import TrialRecord
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.connecting import VARIABLES

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.fault("a sweep is told to stop")
def test_a_stopped_sweep_is_resumed_where_it_was(cluster: LocalCluster, record_property: RecordProperty) -> None:
    """Ctrl-C in mid-sweep; nothing is lost, nothing is done twice.

    The engine is held while commands start: few epochs are then enough for a quick machine, and no more than a slow
    one can do.
    """
    options = ["cnn", "--trials", "2", "--max-epochs", "8", "--data", "shapes:8000", "--sweep-id", "stop-1"]
    runs = connect_runs(None)
    command = [BIN / "cifar-ray", "job", "submit", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts) as waiting:
        wait_for(lambda: num_epochs(runs, "stop-1") >= 2, job="stop-1")
        with held(cluster, "ray::CohortEngine"):
            check_watching_stops_nothing("stop-1")
            waiting.send_signal(signal.SIGINT)
            _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert "continue with `cifar-ray job submit cnn --sweep-id stop-1 --resume`" in said
    assert run("job", "status", "stop-1", "--watch").exit_code == 3
    assert runs.result("stop-1") is None
    before = runs.metrics("stop-1")

    # it had the time to write why it ended, and to leave the sweep to the next
    assert len(runs.sweep("stop-1").interruptions) == 1
    assert layout.lease("stop-1") not in runs.objects.keys("stop-1")

    submit(*options, "--start-or-resume")
    (resumption,) = runs.sweep("stop-1").resumptions
    assert (resumption.commit, resumption.hardware) == (runs.sweep("stop-1").commit, runs.sweep("stop-1").hardware)
    record_property("objects", check_books(runs, "stop-1", num_trials=2))
    assert runs.metrics("stop-1")[: len(before)] == before


@pytest.mark.fault("a sweep is told to stop")
@pytest.mark.chaos
def test_a_sweep_of_long_epochs_has_stopped_in_order_before_ray_kills_it(cluster: LocalCluster) -> None:
    """Each epoch takes longer than Ray gives a job: none is waited for."""
    options = ["fast", "--trials", "2", "--max-epochs", "2", "--data", "shapes:20000", "--sweep-id", "long-1"]
    runs = connect_runs(None)
    assert run("job", "submit", *options, "--no-wait").exit_code == 0
    wait_for(lambda: {trial.outcome for trial in _trials(runs, "long-1")} == {"running"}, job="long-1")
    wait_for(lambda: len(children_of(raylets(cluster), "ray::ImplicitFunc")) == 2, job="long-1")
    for trial in children_of(raylets(cluster), "ray::ImplicitFunc"):
        check_it_keeps_its_memory_and_to_its_share(trial)
    assert run("job", "stop", "long-1").exit_code == 0
    assert num_epochs(runs, "long-1") == 0
    (interruption,) = runs.sweep("long-1").interruptions
    assert "was interrupted" in interruption.why
    assert layout.lease("long-1") not in runs.objects.keys("long-1")


def check_it_keeps_its_memory_and_to_its_share(process: int) -> None:
    variables = Path(f"/proc/{process}/environ").read_text().split("\0")
    assert {f"{name}={value}" for name, value in VARIABLES.items()} <= set(variables)


def _trials(runs: RunStore, sweep_id: str) -> list[TrialRecord]:
    return runs.trials(sweep_id) if runs.has_sweep(sweep_id) else []


@pytest.mark.fault("a sweep is told to stop")
@pytest.mark.chaos
def test_a_sweep_ends_at_its_time_limit(cluster: LocalCluster) -> None:
    """No machine starts a sweep's processes and trains in that time; resumed without it, the sweep goes on.

    By then on a node with fewer cores: a cohort takes what there is.
    """
    options = ["cnn", "--trials", "2", "--max-epochs", "2", "--data", "shapes:500", "--sweep-id", "limit-1"]
    runs = connect_runs(None)
    stopped = run("job", "submit", *options, "--time-limit", "2s")
    assert stopped.exit_code == 3, stopped.output
    assert "sweep limit-1 reached its time limit" in stopped.output
    assert "--sweep-id limit-1 --resume" in stopped.output
    assert runs.result("limit-1") is None
    (interruption,) = runs.sweep("limit-1").interruptions
    assert "reached its time limit" in interruption.why

    begun = replace(runs.sweep("limit-1"), cpus_per_trial=64.0)
    runs.objects.write(layout.sweep_record("limit-1"), begun.to_json().encode())
    submit(*options, "--resume")
    check_books(runs, "limit-1", num_trials=2)
    assert runs.sweep("limit-1").interruptions == (interruption,)


def check_watching_stops_nothing(submission_id: str) -> None:
    """Ctrl-C ends a watcher, which has said what it saw as JSON, and leaves the job alone."""
    command = [BIN / "cifar-ray", "job", "status", submission_id, "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts) as watching:
        assert watching.stdout is not None
        wanted, seen = {"state", "budget", "trial", "epoch", "progress"}, set[str]()
        try:
            while not wanted <= seen:
                seen.add(json.loads(watching.stdout.readline())["event"])
            watching.send_signal(signal.SIGINT)
            assert watching.wait(30) == 130
        finally:
            watching.kill()
    assert '"state": "RUNNING"' in run("job", "status", submission_id, "--json").output


@pytest.mark.fault("the driver is killed")
@pytest.mark.chaos
def test_a_driver_that_is_killed_is_followed_by_another(cluster: LocalCluster, record_property: RecordProperty) -> None:
    options = ["cnn", "--trials", "6", "--max-epochs", "6", "--data", "shapes:8000", "--sweep-id", "kill-1"]
    runs = connect_runs(None)
    assert run("job", "submit", *options, "--no-wait").exit_code == 0
    wait_for(lambda: num_epochs(runs, "kill-1") >= 2, job="kill-1")
    (driver,) = processes_with("tune_cnn.py", "kill-1")
    os.kill(driver, signal.SIGKILL)
    assert run("job", "status", "kill-1", "--watch").exit_code == 1
    before, recovery = runs.metrics("kill-1"), Recovery(runs, "kill-1")

    with ThreadPoolExecutor(1) as executor:
        submitted = executor.submit(submit, *options, "--start-or-resume")
        record_property("seconds_lost", recovery.seconds())
        said = submitted.result()
    assert "sweep kill-1 has a driver on" in said, "its lease was left behind"
    record_property("objects", check_books(runs, "kill-1", num_trials=6))
    assert runs.metrics("kill-1")[: len(before)] == before


def processes_with(*words: str) -> list[int]:
    """Those whose interpreter has the words among its arguments."""
    return [pid for pid, said in processes() if said[0].endswith("python") and {*words} <= {*said}]
