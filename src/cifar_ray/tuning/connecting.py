"""Connects a job to its cluster, and says what the processes that it starts there find in their environment."""

from __future__ import annotations

import logging
import os

import ray

VARIABLES = {
    # a trial trains in a thread of Ray Tune's, from whose own arena glibc gives each block above 64 MiB back to the
    # system as it is freed (docs/performance.md)
    "MALLOC_ARENA_MAX": "1",
    # what has no share of an accelerator sees none: Ray lets it have all that its node has
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}
"""Unless the job's own environment says otherwise."""


def connect() -> None:
    """To the cluster that this job runs on."""
    variables = {name: value for name, value in VARIABLES.items() if name not in os.environ}
    ray.init(logging_level=logging.ERROR, runtime_env={"env_vars": variables})
