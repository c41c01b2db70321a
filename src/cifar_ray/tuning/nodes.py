"""Reads which nodes the connected cluster has, and may get."""

from __future__ import annotations

from collections.abc import Sequence

import ray

from cifar_ray.capacity import TYPE_LABEL, NodeKind, with_pools
from cifar_ray.settings import WorkerPool


def read_node_kinds(pools: Sequence[WorkerPool]) -> list[NodeKind]:
    """The cluster's living nodes; where it has autoscaled `pools`, its nodes as `with_pools` combines them."""
    alive = [
        NodeKind(
            name=str(node["NodeManagerAddress"]),
            resources=dict(node["Resources"]),
            max_nodes=1,
            accelerator=node["Labels"].get(TYPE_LABEL, ""),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    return with_pools(alive, pools)
