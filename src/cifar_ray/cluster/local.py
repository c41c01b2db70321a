"""Starts and stops the one-machine cluster: a Ray head with its Jobs API beside an S3 server."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cifar_ray.cluster import processes, ray_head, s3_server, server
from cifar_ray.cluster.autoscaling import LocalPool, pools_text
from cifar_ray.cluster.credentials import make_secrets, read_token, remove_secrets
from cifar_ray.cluster.environment import joined
from cifar_ray.cluster.ports import HOST, check_port_free, free_ports, release_ports
from cifar_ray.cluster.state import LocalCluster, StateFolder, find
from cifar_ray.errors import ClusterError
from cifar_ray.provenance import now

# Ray's sockets are below it and a Unix socket's path has at most 107 bytes: the user's TMPDIR may be too long
_TEMP_ROOT = "/tmp"
_TEMP_PREFIX = "cifar-ray-"
_FULL = (
    f"the store is full: less than {s3_server.MIN_FREE_BYTES // 2**20} MiB are free on the disk of {{}}; "
    "it can be read, and takes more once there is room"
)


@dataclass(frozen=True, kw_only=True)
class LocalClusterOptions:
    """Options of a one-machine cluster; `cifar-ray local up` checks them, by the names of its flags."""

    home: Path
    """Its state folder: results, secrets, logs, state.json."""
    num_cpus: int | None = None
    """None: as many as the machine has."""
    num_gpus: int | None = None
    """None: as many as Ray finds."""
    dashboard_port: int | None = None
    """None: a free one."""
    s3_port: int | None = None
    """None: a free one."""
    workers: tuple[LocalPool, ...] = ()
    """Pools of nodes that an autoscaler starts and stops, beside a head without resources. Empty: the head alone."""


def kept_objects(home: Path) -> Path | None:
    """The folder of objects left by a cluster of `home`; None while one is running, or where none has stored any."""
    folder = StateFolder(home=home).s3_data
    if not any(folder.glob(f"{s3_server.BUCKET}_*.dat")):
        return None
    try:
        return folder if find(home) is None else None
    except ClusterError:
        return None


def up(
    options: LocalClusterOptions,
    say: Callable[[str], None] = lambda line: None,
    environ: Mapping[str, str] = os.environ,
) -> LocalCluster:
    """Start the cluster and wait until both servers answer.

    Its processes get `environ`, less what would shadow the cluster's own variables. ClusterError where one is
    already running, a port is taken or a server does not start; nothing is left running then.
    """
    processes.check_platform()
    program = s3_server.binary()
    state = StateFolder(home=options.home.expanduser().absolute())
    state.prepare()
    with state.locked():
        if running := find(state.home):
            raise ClusterError(
                f"a cluster runs already at {running.dashboard_url}",
                "stop it with `cifar-ray local down`, or use it",
            )
        _check_ours(state)
        if _clear(state):
            say("cleaned up after a cluster that had died")
        for port, option in ((options.dashboard_port, "--dashboard-port"), (options.s3_port, "--s3-port")):
            if port is not None:
                check_port_free(port, option)
        say("starting Ray and the S3 server")
        if s3_server.is_full(state):
            say(_FULL.format(state.home))
        try:
            return _start(options, state, program, environ)
        except BaseException as error:
            _clear(state, keeps_ray_logs=True)
            if isinstance(error, OSError):
                is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                hint = f"make room on the disks of {state.home} and {_TEMP_ROOT}" if is_full else None
                raise ClusterError(f"the cluster cannot be started: {error}", hint) from error
            raise
        finally:
            release_ports()


def down(home: Path, say: Callable[[str], None] = lambda line: None) -> bool:
    """Stop the cluster of `home`, with whatever runs on it; returns whether there was one. Results are kept.

    ClusterError where it runs on another machine that shares `home`.
    """
    state = StateFolder(home=home.expanduser().absolute())
    if not state.home.is_dir():
        return False
    with state.locked():
        _check_ours(state)
        if state.read() is not None:
            # whatever reads the output may be gone, as `tee` is after Ctrl-C
            with suppress(OSError):
                say("stopping Ray and the S3 server")
        return _clear(state)


@contextmanager
def temporary(options: LocalClusterOptions, say: Callable[[str], None]) -> Iterator[LocalCluster]:
    """A cluster for the caller alone, which is stopped afterwards.

    What a process left that was killed meanwhile is stopped first. ClusterError as `up`, and where another has it.
    """
    state = StateFolder(home=options.home.expanduser().absolute())
    state.prepare()
    with state.owned():
        down(options.home, say)
        cluster = up(options, say)
        try:
            yield cluster
        finally:
            down(options.home, say)


def stop_abandoned(home: Path, say: Callable[[str], None]) -> bool:
    """Stop a temporary cluster whose process has been killed; returns whether there was one."""
    state = StateFolder(home=home.expanduser().absolute())
    if state.read() is None:
        return False
    with state.owned():
        return down(home, say)


def _check_ours(state: StateFolder) -> None:
    """ClusterError where state.json names a cluster whose S3 server is alive, but not on this machine."""
    cluster = state.read()
    if cluster is not None and not processes.family(cluster.lineage("s3")):
        with state.s3_locked():
            pass


def _start(options: LocalClusterOptions, state: StateFolder, program: str, environ: Mapping[str, str]) -> LocalCluster:
    """Start both servers at once, then wait for both. Each step is written to state.json before the next."""
    make_secrets(state.secrets)
    cluster = plan(options, state)
    state.write(cluster)
    inherited = joined(environ, cluster.environment())
    s3 = s3_server.start(program, cluster, state, inherited)
    cluster = replace(cluster, s3=s3.process)
    state.write(cluster)
    ray = ray_head.start(
        cluster, state, inherited, num_cpus=options.num_cpus, num_gpus=options.num_gpus, workers=options.workers
    )
    cluster = replace(cluster, ray=ray.process)
    state.write(cluster)
    s3_server.wait(s3, ray, cluster.s3_endpoint_url, state)
    ray_head.wait(ray, s3, cluster.dashboard_url, read_token(state.secrets.token))
    cluster = replace(cluster, ready_at=now())
    state.write(cluster)
    return cluster


def plan(options: LocalClusterOptions, state: StateFolder) -> LocalCluster:
    """The cluster before its first process starts: its ports and its temp dir."""
    first, second, *internal = free_ports(2 + len(s3_server.PORTS))
    return LocalCluster(
        dashboard_url=f"http://{HOST}:{options.dashboard_port or first}",
        s3_endpoint_url=f"http://{HOST}:{options.s3_port or second}",
        storage=s3_server.STORAGE,
        token_path=str(state.secrets.token),
        credentials_path=str(state.secrets.credentials),
        s3_internal_ports=tuple(internal),
        temp_dir=tempfile.mkdtemp(prefix=_TEMP_PREFIX, dir=_TEMP_ROOT),
        ray_log_path=str(state.log("ray")),
        s3_log_path=str(state.log("s3")),
        pools=pools_text(options.workers),
    )


def _clear(state: StateFolder, *, keeps_ray_logs: bool = False) -> bool:
    """Stop what state.json names, Ray before the store that its jobs write to; returns whether any was running."""
    cluster = state.read()
    if cluster is None:
        return False
    stopped = ray_head.stop(cluster)
    stopped |= s3_server.stop(cluster)
    server.reap()
    if keeps_ray_logs:
        ray_head.keep_logs(cluster, state)
    shutil.rmtree(cluster.temp_dir, ignore_errors=True)
    remove_secrets(state.secrets)
    state.forget()
    return stopped
