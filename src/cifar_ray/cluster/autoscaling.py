"""Configures Ray's autoscaler to run worker nodes on one machine: each a raylet with logical accelerators."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cifar_ray.capacity import TYPE_LABEL
from cifar_ray.cluster.ports import HOST
from cifar_ray.errors import ConfigurationError
from cifar_ray.settings import WorkerPool

HEAD, POOL = "ray.head.default", "worker"
"""Node types. Ray's node provider for one machine expects that name for the head."""
IDLE_TIMEOUT_MINUTES = 0.25
STORE_BYTES = 700_000_000
"""Size of a worker's object store; CIFAR-10 is 200 MB."""

_NAME = re.compile(r"[\w.-]+")
_HEAD_ID = "f" * 51 + "00000"
"""The node id that Ray's node provider for one machine expects of the head."""


@dataclass(frozen=True, kw_only=True)
class LocalPool(WorkerPool):
    """A pool of nodes on one machine. Its accelerators are logical: Ray counts them, whatever the machine has."""

    name: str = POOL
    min_nodes: int
    """Nodes that are kept even when idle."""

    def __post_init__(self) -> None:
        if not all(map(_NAME.fullmatch, (self.name, self.accelerator or "any"))):
            raise ConfigurationError(
                f"a pool {self.name!r} of accelerators {self.accelerator!r}", "take letters, digits, dots and dashes"
            )
        if not 0 <= self.min_nodes <= self.max_nodes or self.max_nodes < 1:
            raise ConfigurationError(
                f"{self.min_nodes}:{self.max_nodes} workers", "say the least and the most, 0:4 for none to four"
            )
        if self.num_cpus < 1 or self.num_gpus < 0:
            raise ConfigurationError("a worker has at least one CPU, and no fewer accelerators than none")

    @property
    def node_type(self) -> dict[str, Any]:
        """Its entry in the autoscaler's `available_node_types`."""
        return {
            "resources": {"CPU": self.num_cpus, "GPU": self.num_gpus, "object_store_memory": STORE_BYTES},
            **({"labels": {TYPE_LABEL: self.accelerator}} if self.accelerator else {}),
            "node_config": {},
            "min_workers": self.min_nodes,
            "max_workers": self.max_nodes,
        }


def pools_text(workers: Sequence[LocalPool]) -> str:
    """The value of the head's `CIFAR_RAY_POOLS`."""
    return " ".join(map(str, workers))


def autoscaling_config(workers: Sequence[LocalPool], gcs_port: int) -> dict[str, Any]:
    """For `ray start --head --autoscaling-config`, with `autoscaling_environment` and `gcs_port` as `--port`."""
    return {
        "cluster_name": "local",
        "max_workers": sum(each.max_nodes for each in workers),
        "upscaling_speed": sum(each.max_nodes for each in workers),
        "idle_timeout_minutes": IDLE_TIMEOUT_MINUTES,
        "provider": {
            "type": "external",
            "module": "cifar_ray.cluster.node_provider.LocalNodeProvider",
            "gcs_address": f"{HOST}:{gcs_port}",
            "head_node_id": _HEAD_ID,
            "launch_multiple": True,
            "use_node_id_as_ip": False,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "head_node_type": HEAD,
        "available_node_types": {
            HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            **{each.name: each.node_type for each in workers},
        },
        # Ray requires each of these, though on one machine they have nothing to do
        **{f"{role}setup_commands": [] for role in ("", "head_", "worker_")},
        **{f"{role}_start_ray_commands": [] for role in ("head", "worker")},
        "initialization_commands": [],
        "cluster_synced_files": [],
        "file_mounts": {},
        "auth": {},
    }


def autoscaling_environment(workers: Sequence[LocalPool]) -> Mapping[str, str]:
    """The environment variables that the head needs besides `autoscaling_config`."""
    return {
        "CIFAR_RAY_POOLS": pools_text(workers),
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_CLOUD_INSTANCE_ID": _HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD_ID,
    }
