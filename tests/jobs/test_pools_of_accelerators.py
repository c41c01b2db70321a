"""Pools of different accelerators on one machine: which nodes Ray's autoscaler starts, and which GPUs trials hold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from job_commands import BIN, Result, check_books, run, submit, wait_for

from cifar_ray.cli.connection import LOCAL_FOLDER, connect_runs
from cifar_ray.cluster import dashboard_api, local
from cifar_ray.cluster.autoscaling import IDLE_TIMEOUT_MINUTES
from cifar_ray.cluster.credentials import read_token
from cifar_ray.errors import CapacityError

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]

SPEC = Path(__file__).parents[2] / "cluster" / "local.autoscaling.yaml"
POOLS = {
    name: {
        "resources": {"CPU": 4, "GPU": num_gpus},
        "labels": {"ray.io/accelerator-type": name},
        "node_config": {},
        "max_workers": most,
    }
    for name, num_gpus, most in (("T4", 1, 2), ("H100", 2, 1))
}
SIZE = ("--max-epochs", "1", "--data", "shapes:200")
HEAD = "127.0.0.1: 0 CPU, 0 GPU"


@dataclass(frozen=True)
class Held:
    """A share of one GPU that a process held when the raylets were asked."""

    accelerator: str
    gpu: tuple[str, str]
    """Its node, and its number there."""
    share: float
    num_gpus: int
    """Over which the process reached."""


class Watcher:
    """What the raylets have told so far."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def nodes(self) -> dict[str, str]:
        """From the id of each worker node that there was to its accelerator."""
        return {row["node"]: row["accelerator"] for look in self._looks() for row in look}

    def held(self) -> list[list[Held]]:
        """In each look."""
        return [
            [
                Held(row["accelerator"], (row["node"], number), share, len(amounts["GPU"]))
                for row in look
                for amounts in row["processes"].values()
                for number, share in amounts.get("GPU", {}).items()
            ]
            for look in self._looks()
        ]

    def _looks(self) -> list[list[dict[str, Any]]]:
        # the last line may be cut off
        return [json.loads(line) for line in self._log.read_text().splitlines(keepends=True) if line.endswith("\n")]


@pytest.fixture
def cluster(home: Path, tmp_path: Path) -> local.LocalCluster:
    """From a copy of the public file, whose one kind of worker has become two."""
    spec = yaml.safe_load(SPEC.read_text())
    spec["available_node_types"] = {"ray.head.default": spec["available_node_types"]["ray.head.default"]} | POOLS
    path = tmp_path / "two-pools.yaml"
    path.write_text(yaml.safe_dump(spec))
    started = run("local", "up", "--autoscaling", str(path))
    assert started.exit_code == 0, started.output
    found = local.find(home.parent / LOCAL_FOLDER)
    assert found is not None
    return found


@contextmanager
def _watching(cluster: local.LocalCluster, log: Path) -> Iterator[Watcher]:
    program = [sys.executable, str(Path(__file__).with_name("gpu_slots.py"))]
    with log.open("w") as output, subprocess.Popen(program, stdout=output, env=cluster.environment()) as process:
        try:
            yield Watcher(log)
        finally:
            process.kill()


@contextmanager
def _submitted(sweep_id: str, log: Path, *arguments: str) -> Iterator[None]:
    """A sweep that runs beside the block, which ends with it; `log` has what it said."""
    command = [BIN / "cifar-ray", "job", "submit", "cnn", *arguments, *SIZE, "--sweep-id", sweep_id]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as job:
        yield
        assert job.wait(timeout=120) == 0, log.read_text()


def _num_nodes(cluster: local.LocalCluster) -> int:
    return len(dashboard_api.living_nodes(cluster.dashboard_url, read_token(Path(cluster.token_path))))


def _check_refused(asked: Sequence[str], why: str) -> None:
    refused = run("job", "submit", "cnn", "--no-cohort", *asked)
    assert refused.exit_code == CapacityError.exit_code
    assert why in refused.output
    assert run("job", "list") == Result(0, "")


def test_trials_start_the_node_that_they_are_sent_to(cluster: local.LocalCluster, tmp_path: Path) -> None:
    assert _num_nodes(cluster) == 1, "the head alone"
    pools = "H100: 4 CPU, 2 GPU (H100); T4: 4 CPU, 1 GPU (T4)"
    _check_refused(("--accelerator", "A100"), f"no node has an accelerator of type A100 (nodes: {HEAD}; {pools})")
    _check_refused(("--cpus-per-trial", "5"), f"which asks for 5 CPU, 0.25 GPU (nodes: {HEAD}; {pools})")
    _check_refused(("--cpus-per-trial", "5", "--accelerator", "T4"), "(nodes: T4: 4 CPU, 1 GPU (T4))")

    sent = ("--no-cohort", "--trials", "2", "--accelerators-per-trial", "0.6", "--accelerator", "H100")
    with _watching(cluster, tmp_path / "looks") as watcher:
        assert "2 at once" in submit("cnn", *sent, *SIZE, "--sweep-id", "sent")
    assert [*watcher.nodes().values()] == ["H100"]
    assert {(held.accelerator, held.share) for look in watcher.held() for held in look} == {("H100", 0.6)}
    check_books(connect_runs(None), "sent", num_trials=2)


@pytest.mark.fault("nodes come and go")
@pytest.mark.chaos
def test_trials_go_where_they_fit_or_where_they_are_sent(cluster: local.LocalCluster, tmp_path: Path) -> None:
    cheap = ("--no-cohort", "--trials", "4", "--accelerators-per-trial", "0.25")
    # two GPUs would hold three of them, were they one
    sent = ("--no-cohort", "--trials", "3", "--accelerators-per-trial", "0.6", "--accelerator", "H100")
    together = ("--trials", "2", "--accelerator", "H100")
    with _watching(cluster, tmp_path / "looks") as watcher:
        with _submitted("cheap", tmp_path / "cheap", *cheap):
            wait_for(lambda: bool(watcher.nodes()))
            assert set(watcher.nodes().values()) == {"T4"}, "four quarters fit the smaller node"
            with _submitted("together", tmp_path / "together", *together):
                assert "2 at once" in submit("cnn", *sent, *SIZE, "--sweep-id", "sent")
            assert "2 at once as one network" in (tmp_path / "together").read_text()
        wait_for(lambda: _num_nodes(cluster) == 1, deadline_s=60 * IDLE_TIMEOUT_MINUTES + 60)

    assert sorted(watcher.nodes().values()) == ["H100", "T4"], "one of each in all that time"
    looks = watcher.held()
    ever = {(held.accelerator, held.share, held.num_gpus) for look in looks for held in look}
    assert ever == {("T4", 0.25, 1), ("H100", 0.6, 1), ("H100", 1.0, 1)}
    assert max(len([held for held in look if held.share == 0.25]) for look in looks) == 4
    for look in looks:
        assert all(sum(each.share for each in look if each.gpu == held.gpu) <= 1 for held in look), look
    for sweep, num_trials in (("cheap", 4), ("sent", 3), ("together", 2)):
        check_books(connect_runs(None), sweep, num_trials)
