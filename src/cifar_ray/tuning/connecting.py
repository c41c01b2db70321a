"""Connects a job to its cluster, and sets the environment variables of the processes that it starts there."""

from __future__ import annotations

import logging
import os

import ray

from cifar_ray.output import replace_unknown_characters

VARIABLES = {
    # a trial trains in one of Ray Tune's threads, and from a thread's own arena glibc returns each block above 64 MiB
    # to the system as soon as it is freed (docs/performance.md)
    "MALLOC_ARENA_MAX": "1",
    # a process without a share of an accelerator sees none: by default Ray shows it all of its node's
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}
"""Set unless the job's own environment says otherwise."""


def is_on_cluster() -> bool:
    """Whether a cluster was named to this job, as Ray's Jobs API does; else it may have started Ray for itself."""
    return "RAY_ADDRESS" in os.environ


def connect() -> None:
    """Connect to the cluster that this job runs on; whatever its node's locale, the job can then print anything."""
    replace_unknown_characters()
    variables = {name: value for name, value in VARIABLES.items() if name not in os.environ}
    ray.init(logging_level=logging.ERROR, runtime_env={"env_vars": variables})
