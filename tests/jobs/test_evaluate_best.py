"""What the evaluation's job says before it needs a cluster."""

import runpy
from pathlib import Path

import pytest
import ray
from click.testing import CliRunner
from job_commands import ROOT

from cifar_ray.capacity import NodeKind
from cifar_ray.tuning import nodes


def test_a_store_without_a_finished_sweep_is_told_of_with_the_command_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", lambda **options: None)
    monkeypatch.setattr(
        nodes, "read_node_kinds", lambda pools: [NodeKind(name="head", resources={"CPU": 1.0}, max_nodes=1)]
    )
    command = runpy.run_path(str(ROOT / "jobs" / "evaluate_best.py"))["evaluate_best"]
    done = CliRunner().invoke(command, ["--storage", str(tmp_path)])
    assert done.exit_code == 2
    assert f"no finished sweep in {tmp_path}\nhint: finish one first, such as `cifar-ray job submit cnn`" in done.stderr
