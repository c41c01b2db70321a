"""Starts the Ray head of the one-machine cluster."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from cifar_ray.cluster import dashboard_api, processes
from cifar_ray.cluster.autoscaling import LocalPool, autoscaling_config, autoscaling_environment
from cifar_ray.cluster.environment import MARK
from cifar_ray.cluster.ports import HOST, free_ports
from cifar_ray.cluster.server import Server, launch, wait_until
from cifar_ray.cluster.state import LocalCluster, StateFolder

STOP_DEADLINE_S = 8.0
_STORE_MIN_BYTES = 100_000_000
_STORE_MAX_BYTES = 2_000_000_000
"""Of the object store; CIFAR-10 is 200 MB."""


def start(
    cluster: LocalCluster,
    state: StateFolder,
    environ: Mapping[str, str],
    *,
    num_cpus: int | None,
    num_gpus: int | None,
    workers: Sequence[LocalPool],
) -> Server:
    """Start the head, its dashboard on the port in `cluster`. With `workers` it starts nodes, and has no resources."""
    temp_dir = Path(cluster.temp_dir)
    (temp_dir / "tmp").mkdir()
    port = cluster.dashboard_url.rpartition(":")[2]
    # 0 lets Ray take any free port; its client server does not accept that, nor can a port that others must know be 0
    client_port, own_port = free_ports(2)
    gcs_port = own_port if workers else 0
    python = _interpreter(temp_dir)
    command = [
        str(python),
        *("-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
        *("--node-ip-address", HOST, "--dashboard-host", HOST, "--dashboard-port", port),
        *("--port", str(gcs_port), "--dashboard-agent-listen-port", "0", "--metrics-export-port", "0"),
        *("--min-worker-port", "0", "--max-worker-port", "0"),
        *("--ray-client-server-port", str(client_port)),
        *("--temp-dir", cluster.temp_dir, "--object-store-memory", str(_object_store_bytes())),
    ]
    variables = _environment(environ, cluster, python.parent)
    if workers:
        config = temp_dir / "autoscaling.yaml"
        config.write_text(yaml.safe_dump(autoscaling_config(workers, gcs_port)))
        command += ["--autoscaling-config", str(config)]
        variables |= autoscaling_environment(workers)
        num_cpus = num_gpus = 0
    for flag, number in (("--num-cpus", num_cpus), ("--num-gpus", num_gpus)):
        command += [] if number is None else [flag, str(number)]
    return launch("Ray", command, variables, Path(cluster.ray_log_path), state.home)


def wait(server: Server, beside: Server, dashboard_url: str, token: str) -> None:
    """Wait until the Jobs API answers and a node is alive; ClusterError where that does not happen."""

    def is_ready() -> bool:
        dashboard_api.running_jobs(dashboard_url, token)
        return bool(dashboard_api.living_nodes(dashboard_url, token))

    wait_until(server, is_ready, beside)


def stop(cluster: LocalCluster) -> bool:
    """Stop the head, its jobs and their workers; returns whether there were any."""
    return processes.stop(cluster.lineage("ray"), STOP_DEADLINE_S)


def keep_logs(cluster: LocalCluster, state: StateFolder) -> None:
    """Copy the logs of Ray's own processes from the temp dir to a folder beside ray.log."""
    folder = state.log("ray").parent / "ray-failed-start"
    shutil.rmtree(folder, ignore_errors=True)
    # a start that fails early leaves none, and a file that vanishes meanwhile is no loss
    with suppress(OSError, shutil.Error):
        shutil.copytree(Path(cluster.temp_dir) / "session_latest" / "logs", folder)


def _interpreter(temp_dir: Path) -> Path:
    """This very interpreter, so that the cluster has its packages.

    By a link in `temp_dir` where its path has a blank or the like: Ray has a shell start workers with it, unquoted.
    """
    own = Path(sys.executable)
    if shlex.quote(sys.executable) == sys.executable:
        return own
    link = temp_dir / "python"
    link.symlink_to(own.parent.parent)
    return link / own.parent.name / own.name


def _environment(environ: Mapping[str, str], cluster: LocalCluster, scripts: Path) -> dict[str, str]:
    """The environment of the head, which every job and worker inherits; `scripts`: the folder of its interpreter."""
    return dict(environ) | {
        # an entrypoint `python ...` runs that interpreter
        "PATH": os.pathsep.join(filter(None, (str(scripts), environ.get("PATH")))),
        # left-overs of Ray's dashboard and of jobs are removed with the temp dir
        "TMPDIR": str(Path(cluster.temp_dir) / "tmp"),
        MARK: cluster.lineage("ray").mark,
        # Ray's defaults are fixed ports; 0 takes a free one for each
        "AUTOSCALER_METRIC_PORT": "0",
        "DASHBOARD_METRIC_PORT": "0",
        # by default Ray kills a job 3 s after telling it to stop: too soon for it to write its records
        "RAY_JOB_STOP_WAIT_TIME_S": "20",
        # on SIGTERM Ray would let running jobs continue for 30 s
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    }


def _object_store_bytes() -> int:
    """As much as the data needs and the machine can spare: Ray's own default takes 30 % of any machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shared = Path("/dev/shm")
    room = shutil.disk_usage(shared).free if shared.is_dir() else 0
    return max(_STORE_MIN_BYTES, min(_STORE_MAX_BYTES, int(0.3 * memory), int(0.9 * room)))
