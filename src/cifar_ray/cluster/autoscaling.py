"""Worker nodes on one machine that Ray's own autoscaler starts and ends: each a raylet with logical accelerators."""

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
"""Kinds of nodes. Ray's provider of nodes on one machine knows the head by that name."""
IDLE_TIMEOUT_MINUTES = 0.25
STORE_BYTES = 700_000_000
"""Of a worker's object store: CIFAR-10 is 200 MB."""

_NAME = re.compile(r"[\w.-]+")
_HEAD_ID = "f" * 51 + "00000"
"""By which Ray's provider of nodes on one machine knows the head."""


@dataclass(frozen=True, kw_only=True)
class LocalPool(WorkerPool):
    """A pool of nodes on one machine. Its accelerators are logical: Ray counts them, whatever the machine has."""

    name: str = POOL
    least: int
    """Nodes that stay without work."""

    def __post_init__(self) -> None:
        if not all(map(_NAME.fullmatch, (self.name, self.accelerator or "any"))):
            raise ConfigurationError(
                f"a pool {self.name!r} of accelerators {self.accelerator!r}", "take letters, digits, dots and dashes"
            )
        if not 0 <= self.least <= self.max_nodes or self.max_nodes < 1:
            raise ConfigurationError(
                f"{self.least}:{self.max_nodes} workers", "say the least and the most, 0:4 for none to four"
            )
        if self.num_cpus < 1 or self.num_gpus < 0:
            raise ConfigurationError("a worker has at least one CPU, and no fewer accelerators than none")

    @property
    def node_type(self) -> dict[str, Any]:
        """As the autoscaler is told of it."""
        return {
            "resources": {
                "CPU": self.num_cpus,
                "GPU": self.num_gpus,
                "object_store_memory": STORE_BYTES,
            },
            **({"labels": {TYPE_LABEL: self.accelerator}} if self.accelerator else {}),
            "node_config": {},
            "min_workers": self.least,
            "max_workers": self.max_nodes,
        }


def pools_text(workers: Sequence[LocalPool]) -> str:
    """For the head's `CIFAR_RAY_POOLS`."""
    return " ".join(map(str, workers))


def autoscaling_config(workers: Sequence[LocalPool], gcs_port: int) -> dict[str, Any]:
    """What `ray start --head --autoscaling-config` takes; with `autoscaling_environment` and that `--port`."""
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
        # Ray asks for each of them, with nothing to do on one machine
        **{f"{role}setup_commands": [] for role in ("", "head_", "worker_")},
        **{f"{role}_start_ray_commands": [] for role in ("head", "worker")},
        "initialization_commands": [],
        "cluster_synced_files": [],
        "file_mounts": {},
        "auth": {},
    }


def autoscaling_environment(workers: Sequence[LocalPool]) -> Mapping[str, str]:
    """The head's variables beside."""
    return {
        "CIFAR_RAY_POOLS": pools_text(workers),
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_CLOUD_INSTANCE_ID": _HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD_ID,
    }
