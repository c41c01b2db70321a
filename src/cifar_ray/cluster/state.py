"""Records the running cluster in the state folder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from cifar_ray.cluster.credentials import SecretFiles
from cifar_ray.cluster.processes import Lineage, Process, is_alive
from cifar_ray.errors import ClusterError, RecordError
from cifar_ray.json_record import Record

OWN_FOLDER = "let CIFAR_RAY_HOME name a folder of your own"
LOCK_PATIENCE_S = 3.0
"""Seconds to wait for a process killed a moment ago: its last thread still holds its files, and so the lock."""


@dataclass(frozen=True, kw_only=True)
class LocalCluster(Record):
    """A one-machine cluster: where it answers and what it consists of. It holds no secrets."""

    # another version's may have more fields, and its cluster is to be stopped all the same
    __pydantic_config__: ClassVar[dict[str, Any]] = {**Record.__pydantic_config__, "extra": "ignore"}

    dashboard_url: str
    """Ray's dashboard and Jobs API: `http://127.0.0.1:<port>`."""
    s3_endpoint_url: str
    s3_internal_ports: tuple[int, ...]
    """Where the S3 server's own parts reach each other."""
    storage: str
    """The store for results, `s3://bucket/prefix`."""
    token_path: str
    """Ray's token, mode 0600."""
    credentials_path: str
    """The S3 keys as an AWS shared-credentials file, mode 0600."""
    temp_dir: str
    """Ray's sessions and sockets; removed when the cluster stops."""
    ray_log_path: str
    s3_log_path: str
    ray: Process | None = None
    """None before it is started."""
    s3: Process | None = None
    """None before it is started."""
    pools: str = ""
    """What its autoscaler may add, in the form of `CIFAR_RAY_POOLS`; empty without an autoscaler."""
    ready_at: str | None = None
    """ISO 8601, UTC. None while it starts: should the start be killed, the rest says what to clean up."""

    def environment(self) -> dict[str, str]:
        """The variables that a client of this cluster needs: addresses and paths, no secrets."""
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": self.token_path,
            "RAY_API_SERVER_ADDRESS": self.dashboard_url,
            # the one switch that makes Ray keep to 127.0.0.1, despite its name: without it Ray turns
            # --node-ip-address=127.0.0.1 into the machine's external address and listens on all interfaces
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "AWS_ENDPOINT_URL_S3": self.s3_endpoint_url,
            "AWS_SHARED_CREDENTIALS_FILE": self.credentials_path,
            # a role or an SSO session in the user's own ~/.aws/config would take precedence over the credentials file
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "CIFAR_RAY_STORAGE": self.storage,
        }

    def lineage(self, part: Literal["ray", "s3"]) -> Lineage:
        """How the processes of that server are recognised."""
        return Lineage(root=getattr(self, part), mark=f"{self.temp_dir}:{part}", folder=Path(self.temp_dir))


@dataclass(frozen=True, kw_only=True)
class StateFolder:
    """Where the cluster of one home keeps its files."""

    home: Path

    @property
    def secrets(self) -> SecretFiles:
        """The token and the keys."""
        return SecretFiles(folder=self.home / "secrets")

    @property
    def s3_data(self) -> Path:
        """The S3 server's objects; they outlive the cluster."""
        return self.home / "s3"

    def log(self, name: str) -> Path:
        """The log of the server `name`."""
        return self.home / "logs" / f"{name}.log"

    @property
    def _record(self) -> Path:
        return self.home / "state.json"

    def prepare(self) -> None:
        """Make the folders; ClusterError where that is not allowed."""
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.log("any").parent.mkdir(exist_ok=True)
        except OSError as error:
            raise ClusterError(f"{self.home} cannot be made: {error.strerror}", OWN_FOLDER) from error

    def read(self) -> LocalCluster | None:
        """state.json; None where there is none. ClusterError where it is damaged or cannot be read."""
        try:
            return LocalCluster.from_json(self._record.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ClusterError(f"{self._record} cannot be read: {error.strerror}", OWN_FOLDER) from error
        except RecordError as error:
            raise ClusterError(
                f"{self._record} is damaged: {error.message}",
                f"end the processes of its cluster (`pgrep -af 'start --head|{self.s3_data}'`), then remove it",
            ) from error

    def write(self, cluster: LocalCluster) -> None:
        """Write state.json atomically."""
        draft = self._record.with_suffix(".new")
        draft.write_text(cluster.to_json(), encoding="utf-8")
        draft.replace(self._record)

    def forget(self) -> None:
        """Remove state.json."""
        self._record.unlink(missing_ok=True)

    def s3_locked(self) -> AbstractContextManager[int]:
        """Lock the objects: while a process has the descriptor open, no other server can lock them, on any machine.

        ClusterError where another holds them: machines may share a home, though not its processes.
        """
        held = ClusterError(
            f"a server that does not run here serves {self.s3_data}: a cluster of another machine",
            "stop that one where it runs, or give this machine a folder of its own by CIFAR_RAY_HOME",
        )
        return _locked(self.home / "s3.lock", held, patience_s=LOCK_PATIENCE_S)

    def owned(self) -> AbstractContextManager[int]:
        """Have the cluster to oneself until this process ends, however it does; ClusterError where another has it."""
        held = ClusterError(
            f"another demo is at work in {self.home}", "wait until it has ended, or stop it with Ctrl-C"
        )
        return _locked(self.home / "owner.lock", held, patience_s=LOCK_PATIENCE_S)

    def locked(self) -> AbstractContextManager[int]:
        """Keep other starts and stops out; ClusterError where one is in progress."""
        held = ClusterError(
            f"another start or stop of the cluster in {self.home} is at work",
            "wait until it has ended, then look with `cifar-ray local status`",
        )
        return _locked(self.home / "lock", held)


def find(home: Path, *, is_whole: bool = True) -> LocalCluster | None:
    """The running cluster of `home`, or None: both servers must be alive, or either one if not `is_whole`."""
    cluster = StateFolder(home=home.expanduser().absolute()).read()
    if cluster is None or cluster.ready_at is None:
        return None
    parts = (cluster.ray, cluster.s3)
    live = [part is not None and is_alive(part) for part in parts]
    return cluster if (all(live) if is_whole else any(live)) else None


@contextmanager
def _locked(path: Path, held: ClusterError, patience_s: float = 0.0) -> Iterator[int]:
    """Lock the file and yield its descriptor; raises `held` where another process keeps it locked."""
    until = time.monotonic() + patience_s
    try:
        opened = path.open("a")
    except OSError as error:
        raise ClusterError(f"{path} cannot be opened: {error.strerror}", OWN_FOLDER) from error
    with opened as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= until:
                    raise held from error
            time.sleep(0.05)
        yield file.fileno()
