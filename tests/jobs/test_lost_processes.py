"""Processes and nodes that die in mid-sweep: real ones, killed. What replaces them goes on from the last checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from job_commands import BIN, RecordProperty, Recovery, check_books, num_epochs, run, submit, wait_for
from node_processes import children_of, processes, raylets

from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster import local
from cifar_ray.cluster.autoscaling import LocalPool
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.sweep import MAX_RETRIES

pytestmark = [pytest.mark.cluster, pytest.mark.chaos, pytest.mark.timeout(900)]

NUM_NODE_LOSSES = MAX_RETRIES + 1
"""More than a trial may fail of itself."""


@pytest.mark.fault("a trial's process is killed")
def test_a_trial_whose_process_is_killed_ends_as_if_it_had_not(
    cluster: local.LocalCluster, record_property: RecordProperty
) -> None:
    size = ("--trials", "1", "--max-epochs", "16", "--data", "shapes:8000", "--no-cohort")
    submit("cnn", *size, "--sweep-id", "undisturbed")
    runs = connect_runs(None)
    with subprocess.Popen([BIN / "cifar-ray", "job", "submit", "cnn", *size, "--sweep-id", "disturbed"]) as job:
        wait_for(lambda: num_epochs(runs, "disturbed") >= 2)
        (trial,) = children_of(raylets(cluster), "ray::ImplicitFunc")
        recovery = Recovery(runs, "disturbed")
        os.kill(trial, signal.SIGKILL)
        record_property("seconds_lost", recovery.seconds())
        assert job.wait(timeout=300) == 0
    record_property("objects", check_books(runs, "disturbed", num_trials=1))
    expected, found = (
        [replace(line, seconds=0.0, ended_at=None) for line in runs.metrics(sweep)]
        for sweep in ("undisturbed", "disturbed")
    )
    assert found == expected


@pytest.mark.fault("all worker nodes die")
@pytest.mark.parametrize("how", ["together", "alone"])
def test_all_worker_nodes_die_again_and_again(home: Path, how: str, record_property: RecordProperty) -> None:
    workers = LocalPool(min_nodes=0, max_nodes=2, num_cpus=1, num_gpus=1)
    growing = local.up(local.LocalClusterOptions(home=home, workers=(workers,)))
    size = ("--trials", "2", "--max-epochs", "30", "--data", "shapes:8000", "--sweep-id", how)
    alone = ("--no-cohort", "--accelerators-per-trial", "1") if how == "alone" else ()
    runs, longest = connect_runs(None), 0.0
    with subprocess.Popen([BIN / "cifar-ray", "job", "submit", "cnn", *size, *alone]) as job:
        for _ in range(NUM_NODE_LOSSES):
            before = num_epochs(runs, how)
            wait_for(lambda before=before: num_epochs(runs, how) > before or job.poll() is not None)  # type: ignore[misc]
            assert job.poll() is None
            # what is not yet uploaded is lost, and a trial that was stopped is not trained again
            time.sleep(3)
            nodes, recovery = raylets(growing, is_head=False), Recovery(runs, how)
            assert nodes
            # as a machine does, with all that runs on it
            for process in [*nodes, *children_of(nodes)]:
                os.kill(process, signal.SIGKILL)
            # epochs that were reported before it, and are written after it
            time.sleep(8)
            longest = max(longest, recovery.seconds())
        assert job.wait(timeout=400) == 0
    record_property("injected", NUM_NODE_LOSSES)
    record_property("seconds_lost", longest)
    record_property("objects", check_books(runs, how, num_trials=2))


@pytest.mark.fault("the head is killed")
def test_the_head_dies_and_another_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, record_property: RecordProperty
) -> None:
    """With its driver, its jobs and all that ran on it; the store stays."""
    options = ["cnn", "--trials", "6", "--max-epochs", "8", "--data", "shapes:8000", "--sweep-id", "headless"]

    def start() -> tuple[local.LocalCluster, RunStore]:
        cluster = local.up(local.LocalClusterOptions(home=home, num_cpus=2))
        for name, value in cluster.environment().items():
            monkeypatch.setenv(name, value)
        return cluster, connect_runs(None)

    cluster, runs = start()
    assert run("job", "submit", *options, "--no-wait").exit_code == 0
    wait_for(lambda: num_epochs(runs, "headless") >= 2, job="headless")
    for process, words in processes():
        if any(cluster.temp_dir in word for word in words) or "headless" in words:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    assert run("job", "status", "headless").exit_code == 4
    local.down(home)

    _, runs = start()
    before = runs.metrics("headless")
    assert before
    submit(*options, "--start-or-resume")
    record_property("objects", check_books(runs, "headless", num_trials=6))
    assert runs.metrics("headless")[: len(before)] == before
