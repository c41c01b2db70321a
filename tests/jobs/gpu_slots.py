"""Says which GPUs of which nodes a cluster's processes hold, as each node's raylet tells: a line of JSON a look.

A program of its own, in the environment of `cifar-ray local env`: Ray reads its token's variables when it is loaded.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from ray._private.internal_api import node_stats

PERIOD_S = 0.25


def main() -> None:
    """Until it is ended."""
    while True:
        # a node that ends meanwhile answers no more
        with suppress(OSError, KeyError, grpc.RpcError):
            print(json.dumps(look()), flush=True)
        time.sleep(PERIOD_S)


def look() -> list[dict[str, Any]]:
    """A row for each worker node: its id, its accelerator, and what each process holds: CPUs, and of which GPU."""
    nodes = _get("/api/v0/nodes?detail=true")["data"]["result"]["result"]
    return [
        {
            "node": node["node_id"],
            "accelerator": node["labels"].get("ray.io/accelerator-type"),
            "processes": _held(_get(f"/nodes/{node['node_id']}")["data"]["detail"]["raylet"]),
        }
        for node in nodes
        if node["state"] == "ALIVE" and not node["is_head_node"]
    ]


def _held(raylet: dict[str, Any]) -> dict[int, dict[str, dict[int, float]]]:
    stats = node_stats(raylet["nodeManagerAddress"], raylet["nodeManagerPort"], include_memory_info=False)
    held = {
        worker.pid: {
            # a trial holds them as a bundle of its placement group, which Ray counts twice: by its index and without
            name.partition("_")[0]: {slot.slot: slot.allocation for slot in used.resource_slots if slot.allocation}
            for name, used in worker.used_resources.items()
            if name.startswith(("CPU", "GPU"))
        }
        for worker in stats.core_workers_stats
    }
    return {process: amounts for process, amounts in held.items() if amounts}


def _get(path: str) -> Any:
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text().strip()
    url = os.environ["RAY_API_SERVER_ADDRESS"] + path
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


if __name__ == "__main__":
    main()
