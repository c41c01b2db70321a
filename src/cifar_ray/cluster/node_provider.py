"""Starts Ray nodes on one machine, each with its own copy of a job's working directory."""

from __future__ import annotations

from typing import Any

from ray._private import ray_constants
from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider


class LocalNodeProvider(FakeMultiNodeProvider):
    """Loaded by the autoscaler, by its name in `autoscaling_config`.

    Ray's own gives all nodes one session folder: the first worker that sets up a job's environment would replace the
    directory that the job is running in.
    """

    def _create_node_with_resources_and_labels(self, *arguments: Any) -> None:
        with self.lock:
            ray_constants.DEFAULT_RUNTIME_ENV_DIR_NAME = f"runtime_resources_{self._next_node_id + 1}"
            super()._create_node_with_resources_and_labels(*arguments)
