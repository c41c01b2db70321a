"""What `ray start` is told on the nodes of a `ray up` spec: its commands, run as Ray's launcher runs them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.command_runner import _with_environment_variables
from ray.autoscaler._private.util import prepare_config
from ray.scripts.scripts import start

FOLDER = Path(__file__).parents[2] / "cluster"
LAUNCHERS_OWN = {"RAY_USAGE_STATS_ENABLED": 1}
"""What the launcher puts before the head's commands, where the person has not switched usage reports off."""
RAY = """#!/bin/sh
[ "$1" = start ] || exit 0
env > "$SEEN/environment"
printf '%s\\n' "$@" > "$SEEN/arguments"
"""

every_spec = pytest.mark.parametrize("name", ["aws.gpu.yaml", "onprem.gpu.yaml"])
every_start = pytest.mark.parametrize("role", ["head", "worker"])


@dataclass
class Started:
    """What a stand-in for `ray` was given."""

    environment: dict[str, str]
    arguments: list[str]

    def options(self) -> dict[str, Any]:
        """As Ray's own command line reads them."""
        return start.make_context("start", self.arguments[1:]).params


def _prepared(name: str) -> dict[str, Any]:
    config: dict[str, Any] = prepare_config(yaml.safe_load((FOLDER / name).read_text()))
    return config


def _start(name: str, role: str, folder: Path) -> Started:
    config = _prepared(name)
    (folder / "ray").write_text(RAY)
    (folder / "ray").chmod(0o755)
    options = [each.partition(" ") for each in config["docker"]["run_options"]]
    environ = {"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(folder), "SEEN": str(folder), "RAY_HEAD_IP": "192.0.2.10"}
    environ |= dict(value.split("=", 1) for option, _, value in options if option == "--env")
    for command in config[f"{role}_start_ray_commands"]:
        command = _with_environment_variables(command, LAUNCHERS_OWN if role == "head" else {})
        subprocess.run(["bash", "-c", command], env=environ, timeout=30, check=True)
    seen = (folder / "environment").read_text().splitlines()
    return Started(dict(each.split("=", 1) for each in seen), (folder / "arguments").read_text().splitlines())


@every_spec
@every_start
def test_ray_starts_with_the_token_and_without_usage_reports(name: str, role: str, tmp_path: Path) -> None:
    started = _start(name, role, tmp_path)
    environment, options = started.environment, started.options()
    assert environment["RAY_AUTH_MODE"] == "token"
    assert options["disable_usage_stats"] or environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "RAY_AUTH_TOKEN" not in environment, "the token lies in its file alone"
    assert environment["CIFAR_RAY_STORAGE"].startswith("s3://")


@every_spec
@every_start
def test_ray_knows_the_options_that_it_is_started_with(name: str, role: str, tmp_path: Path) -> None:
    options = _start(name, role, tmp_path).options()
    if role == "head":
        assert (options["head"], options["num_cpus"], options["dashboard_host"]) == (True, 0, "127.0.0.1")
        assert options["autoscaling_config"] == "~/ray_bootstrap_config.yaml"
    else:
        assert options["address"] == "192.0.2.10:6379"


@every_spec
def test_nothing_is_installed_beside_the_image(name: str) -> None:
    """Ray's own defaults for AWS install a nightly Ray where they find none."""
    config = _prepared(name)
    assert [config[f"{role}setup_commands"] for role in ("", "head_", "worker_")] == [[], [], []]
