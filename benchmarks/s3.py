"""Starts the one-machine cluster's S3 server without the cluster."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cifar_ray.cluster import s3_server, server
from cifar_ray.cluster.credentials import make_secrets, remove_secrets
from cifar_ray.cluster.environment import joined
from cifar_ray.cluster.local import LocalClusterOptions, plan
from cifar_ray.cluster.ports import HOST
from cifar_ray.cluster.state import StateFolder


@dataclass(frozen=True, kw_only=True)
class RunningS3:
    """Its address, and what a client needs to use it."""

    host: str
    port: int
    storage: str
    """The URI of a store in it."""
    environ: Mapping[str, str]
    """A client's environment variables, except for the endpoint."""


@contextmanager
def running_s3() -> Iterator[RunningS3]:
    """Run it on a free port for the block, with its objects in a temporary folder."""
    program = s3_server.binary()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cifar-ray-", dir="/tmp")))
        state = StateFolder(home=home)
        state.prepare()
        make_secrets(state.secrets)
        cluster = plan(LocalClusterOptions(home=home), state)
        stack.callback(shutil.rmtree, cluster.temp_dir)
        environ = cluster.environment()
        started = s3_server.start(program, cluster, state, joined(os.environ, environ))
        cluster = replace(cluster, s3=started.process)
        try:
            s3_server.wait(started, started, cluster.s3_endpoint_url, state)
            yield RunningS3(
                host=HOST,
                port=int(cluster.s3_endpoint_url.rpartition(":")[2]),
                storage=cluster.storage,
                environ=environ,
            )
        finally:
            s3_server.stop(cluster)
            # wait for its last threads: it cannot be reaped before
            os.waitid(os.P_PID, started.process.pid, os.WEXITED | os.WNOWAIT)
            server.reap()
            remove_secrets(state.secrets)
