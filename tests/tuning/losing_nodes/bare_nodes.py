"""Ray nodes that are a raylet each, and the processes of the actors on it: fifty of them fit on two cores."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ray
from ray._private import services
from ray._private.node import Node
from ray.cluster_utils import Cluster

STORE_BYTES = 80 << 20
AGENT = "sleep infinity"
REPLACED = {
    "--dashboard_agent_command=": AGENT,
    "--runtime_env_agent_command=": AGENT,
    "--num_prestart_python_workers=": "0",
}
"""Of a raylet, which has three Python processes beside it otherwise: for the dashboard, for the packages of jobs, and
for work that may come. The head's agents serve all nodes: they are on one machine."""
AGENT_PORTS = ("runtime_env_agent_port", "metrics_agent_port", "metrics_export_port")
LISTEN_PORT = "dashboard_agent_listen_port"
"""Which a raylet wants to find in a file, whatever it is told."""
_start_process = services.start_ray_process


class BareNodes:
    """A cluster whose head holds no work, and nodes of one CPU. It ends with the process that made it."""

    def __init__(self) -> None:
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})

    @property
    def address(self) -> str:
        """For `ray.init`."""
        return str(self._cluster.address)

    @property
    def nodes(self) -> list[Node]:
        """In the order of their names."""
        return sorted(self._cluster.worker_nodes, key=lambda node: str(node.unique_id))

    def add(self) -> None:
        """Start one more; returns as it joins."""
        head = self._cluster.head_node
        ports = {name: getattr(head, name) for name in AGENT_PORTS}
        # the second sets what a thread may not
        with (
            patch.object(services, "start_ray_process", _start_bare),
            patch("ray._private.utils.set_sigterm_handler"),
        ):
            self._cluster.add_node(wait=False, num_cpus=1, object_store_memory=STORE_BYTES, **ports)

    def kill(self, node: Node) -> None:
        """As a machine dies: at once, with all that runs on it."""
        for process in with_children(node.all_processes["raylet"][0].process.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)

    def shutdown(self) -> None:
        """End all."""
        ray.shutdown()
        self._cluster.shutdown()


def _start_bare(command: list[str], *arguments: Any, **options: Any) -> Any:
    words = [_stripped(word) for word in command]
    flags = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
    if "--node_id" in flags:  # else it is no raylet
        Path(flags["--session_dir"], f"{LISTEN_PORT}_{flags['--node_id']}").write_text("1024")
    return _start_process(words, *arguments, **options)


def _stripped(word: str) -> str:
    return next((name + value for name, value in REPLACED.items() if word.startswith(name)), word)


def with_children(process: int) -> list[int]:
    """The process, those that it has started, and theirs."""
    found = [process]
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        found += [each for child in task.read_text().split() for each in with_children(int(child))]
    return found
