"""Pools of different accelerators on one machine: which nodes Ray's autoscaler starts, and which GPUs trials hold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from job_commands import check_books, run, submit, wait_for

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
SMALL = ("--max-epochs", "1", "--data", "shapes:200")


@dataclass(frozen=True)
class Held:
    """A share of one GPU that a process held when the raylets were asked."""

    accelerator: str
    node: str
    slot: str
    """Of the GPU, on its node."""
    share: float
    process: str
    num_gpus: int
    """Over which the process reached."""


@dataclass
class Seen:
    """What the raylets told in some time."""

    looks: Sequence[list[dict[str, Any]]] = ()

    @property
    def nodes(self) -> dict[str, str]:
        """From a worker node's id to its accelerator."""
        return {row["node"]: row["accelerator"] for look in self.looks for row in look}

    @property
    def at_work(self) -> set[str]:
        """The accelerators of nodes on which any process held anything, were it a thousandth of a CPU."""
        return {row["accelerator"] for look in self.looks for row in look if row["processes"]}

    def held(self) -> list[list[Held]]:
        """In each look."""
        return [
            [
                Held(row["accelerator"], row["node"], slot, share, process, len(amounts["GPU"]))
                for row in look
                for process, amounts in row["processes"].items()
                for slot, share in amounts.get("GPU", {}).items()
            ]
            for look in self.looks
        ]


@pytest.fixture
def cluster(home: Path, tmp_path: Path) -> local.LocalCluster:
    """From a copy of the public file, whose one kind of worker has become two."""
    spec = yaml.safe_load(SPEC.read_text())
    spec["available_node_types"] = {"ray.head.default": spec["available_node_types"]["ray.head.default"]} | POOLS
    path = tmp_path / "two-pools.yaml"
    path.write_text(yaml.safe_dump(spec))
    assert run("local", "up", "--autoscaling", str(path)).exit_code == 0
    found = local.find(home.parent / LOCAL_FOLDER)
    assert found is not None
    return found


@contextmanager
def _watched(cluster: local.LocalCluster, log: Path) -> Iterator[Seen]:
    """Filled when the block is left."""
    seen = Seen()
    program = [sys.executable, str(Path(__file__).with_name("gpu_slots.py"))]
    with log.open("w") as output, subprocess.Popen(program, stdout=output, env=cluster.environment()) as watcher:
        try:
            yield seen
        finally:
            watcher.kill()
    # the last line may be cut off
    seen.looks = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _num_nodes(cluster: local.LocalCluster) -> int:
    return dashboard_api.capacity(cluster.dashboard_url, read_token(Path(cluster.token_path))).num_nodes


def _check_shares(seen: Seen, share: float) -> None:
    """Each process had its share of one GPU, and no GPU was ever given away more than once."""
    for look in seen.held():
        assert all((held.num_gpus, held.share) == (1, pytest.approx(share)) for held in look), look
        given = Counter[tuple[str, str]]()
        for held in look:
            given[held.node, held.slot] += held.share  # type: ignore[assignment]  # shares are no whole numbers
        assert all(total <= 1 + 1e-6 for total in given.values()), look


def test_trials_go_where_they_fit_or_where_they_are_sent(cluster: local.LocalCluster, tmp_path: Path) -> None:
    assert _num_nodes(cluster) == 1, "the head alone"
    refused = run("job", "submit", "cnn", "--accelerator", "A100", *SMALL)
    assert refused.exit_code == CapacityError.exit_code
    assert "no node has an accelerator of type A100" in refused.output
    assert all(pool in refused.output for pool in ("T4: 4 CPU, 1 GPU (T4)", "H100: 4 CPU, 2 GPU (H100)"))
    assert dashboard_api.num_jobs(cluster.dashboard_url, read_token(Path(cluster.token_path))) == 0

    cheap = ("--no-cohort", "--trials", "4", "--accelerators-per-trial", "0.25")
    with _watched(cluster, tmp_path / "cheap") as seen:
        said = submit("cnn", *cheap, *SMALL, "--sweep-id", "cheap")
    # 2 x 4 on T4, 1 x 2 x 4 on H100: more than there are trials
    assert "4 at once" in said
    assert set(seen.nodes.values()) == {"T4"}, "four quarters fit the smaller node"
    assert max(len(look) for look in seen.held()) == 4
    _check_shares(seen, 0.25)

    # two GPUs have room for three times 0.6, but one by one
    sent = ("--no-cohort", "--trials", "3", "--accelerators-per-trial", "0.6", "--accelerator", "H100")
    with _watched(cluster, tmp_path / "sent") as again:
        said = submit("cnn", *sent, *SMALL, "--sweep-id", "sent")
    assert "2 at once" in said
    assert {node for node, name in again.nodes.items() if name == "T4"} <= set(seen.nodes), "another T4 has come"
    assert again.at_work == {"H100"}, "on a T4 that stood idle"
    assert {(held.node, held.slot) for look in again.held() for held in look} == {
        (node, slot) for node, name in again.nodes.items() if name == "H100" for slot in ("0", "1")
    }
    _check_shares(again, 0.6)

    wait_for(lambda: _num_nodes(cluster) == 1, deadline_s=60 * IDLE_TIMEOUT_MINUTES + 60)
    for sweep, num_trials in (("cheap", 4), ("sent", 3)):
        check_books(connect_runs(None), sweep, num_trials)
