"""Reads the environment into frozen dataclasses: the one place that does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cifar_ray.errors import ConfigurationError

TRACKED_AS = "cifar-ray"
"""MLflow's experiment, or W&B's project, where the environment names none."""
_KEYS_HINT = (
    "name the bucket or host alone: keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile "
    "(AWS_PROFILE); renew those that others may have seen"
)
_TOKEN_HINT = (
    "name the host alone: Ray's token goes into RAY_AUTH_TOKEN, or into a file (RAY_AUTH_TOKEN_PATH); renew what "
    "others may have seen"
)
_TRACKER_HINT = (
    "name the host alone: they go into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; or write them in percent "
    "encoding (/ is %2F)"
)
_AUTHORITY = re.compile(r"([\w.~!$&'()*+,;=:@%-]*@)?(\[[\da-fA-F:.]+\]|[\w.~%-]*)(:\d*)?", re.ASCII)
"""Of a URI whose user and password can be cut from any message: `errors.without_user` finds where they end."""
_POOL = re.compile(
    r"(?P<name>[\w.-]+):max=(?P<max>\d{1,6}),cpu=(?P<cpu>\d{1,6}(?:\.\d+)?),gpu=(?P<gpu>\d{1,6}(?:\.\d+)?)"
    r"(?:,accelerator=(?P<accelerator>[\w.-]+))?"
)


@dataclass(frozen=True, kw_only=True)
class S3Settings:
    """Where an S3-compatible store answers. Credentials are left to boto3's own chain."""

    endpoint_url: str | None
    """`AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`; None for AWS itself."""
    region: str | None
    """`AWS_REGION`, else `AWS_DEFAULT_REGION`; None for the profile's, else us-east-1."""

    def __post_init__(self) -> None:
        if "@" in (self.endpoint_url or ""):
            raise ConfigurationError("the endpoint of AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL holds a user", _KEYS_HINT)


@dataclass(frozen=True, kw_only=True)
class WorkerPool:
    """Nodes of one size that an autoscaler starts and stops."""

    name: str
    max_nodes: int
    num_cpus: float
    """Per node."""
    num_gpus: float
    """Per node."""
    accelerator: str = ""
    """The type of its GPUs, as Ray names it (`T4`); empty where unknown."""

    def __str__(self) -> str:
        """As `CIFAR_RAY_POOLS` has it."""
        size = f"{self.name}:max={self.max_nodes},cpu={self.num_cpus:g},gpu={self.num_gpus:g}"
        return f"{size},accelerator={self.accelerator}" if self.accelerator else size


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says."""

    home: Path
    """`CIFAR_RAY_HOME`, else ~/.cifar-ray: the one-machine cluster's state and the default results."""
    cache: Path
    """`CIFAR_RAY_CACHE`, else `<home>/cache`: where the official archive and compiled code are kept."""
    data: str | None
    """`CIFAR_RAY_DATA`: the data source where no option names one."""
    storage: str | None
    """`CIFAR_RAY_STORAGE`: `s3://bucket/prefix` or a folder."""
    ray_address: str | None
    """`RAY_API_SERVER_ADDRESS`: the dashboard of the cluster that jobs go to."""
    ray_auth_token: str | None
    """`RAY_AUTH_TOKEN`."""
    ray_auth_token_path: Path | None
    """`RAY_AUTH_TOKEN_PATH`: a file that holds the token."""
    commit: str | None
    """`CIFAR_RAY_COMMIT`: the source's commit, where the code was installed without its history."""
    worker_pools: tuple[WorkerPool, ...]
    """`CIFAR_RAY_POOLS`, on an autoscaled cluster's head node: Ray tells no job what its autoscaler may add."""
    s3: S3Settings
    prices: Path | None = None
    """`CIFAR_RAY_PRICES`: a file that says what an hour of an accelerator costs."""
    mlflow_experiment: str | None = None
    """`MLFLOW_EXPERIMENT_NAME`, else cifar-ray; None where `MLFLOW_TRACKING_URI` is unset."""
    wandb_project: str | None = None
    """`WANDB_PROJECT`, else cifar-ray; None unless `WANDB_API_KEY` is set, or `WANDB_MODE` to offline or online."""
    compiles: bool | None = None
    """`CIFAR_RAY_COMPILE`, `on` or `off`: whether trials run compiled code; None leaves it to the device."""

    @property
    def default_storage(self) -> str:
        """Where a cluster of one node puts results if nothing else is said."""
        return str(self.home / "results")


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that `environ` holds. An empty variable counts as unset.

    ConfigurationError where a folder is below the home of an unknown user, a pool or a switch is misspelt, or a URI
    holds keys.
    """

    def get(*names: str) -> str | None:
        return next((environ[name] for name in names if environ.get(name)), None)

    home = absolute("CIFAR_RAY_HOME", get("CIFAR_RAY_HOME") or "~/.cifar-ray")
    token_path = get("RAY_AUTH_TOKEN_PATH")
    tracking = _check_tracking(get("MLFLOW_TRACKING_URI"))
    return Settings(
        home=home,
        cache=absolute("CIFAR_RAY_CACHE", get("CIFAR_RAY_CACHE") or home / "cache"),
        data=check_no_user("CIFAR_RAY_DATA", get("CIFAR_RAY_DATA")),
        storage=check_no_user("CIFAR_RAY_STORAGE", get("CIFAR_RAY_STORAGE")),
        ray_address=_check_address(get("RAY_API_SERVER_ADDRESS")),
        ray_auth_token=get("RAY_AUTH_TOKEN"),
        ray_auth_token_path=Path(token_path) if token_path else None,
        commit=get("CIFAR_RAY_COMMIT"),
        worker_pools=read_pools(get("CIFAR_RAY_POOLS") or ""),
        s3=S3Settings(
            endpoint_url=get("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
            region=get("AWS_REGION", "AWS_DEFAULT_REGION"),
        ),
        prices=absolute("CIFAR_RAY_PRICES", prices) if (prices := get("CIFAR_RAY_PRICES")) else None,
        mlflow_experiment=(get("MLFLOW_EXPERIMENT_NAME") or TRACKED_AS) if tracking else None,
        wandb_project=(get("WANDB_PROJECT") or TRACKED_AS) if _has_wandb(get) else None,
        compiles=_switch("CIFAR_RAY_COMPILE", word) if (word := get("CIFAR_RAY_COMPILE")) else None,
    )


def check_no_user(name: str, uri: str | None) -> str | None:
    """`uri`; ConfigurationError, which does not repeat it, where it has a user or keys before its host.

    They would be printed, and be in a job's command, which Ray shows to everyone with access to the cluster.
    """
    scheme, separator, rest = (uri or "").partition("://")
    # a secret key may have a slash; in the prefix of a bucket without keys, and in a folder's path, an @ is just an @
    if re.match("(?s)(?=[^/]*[:@]).*@", rest) if separator else re.match("(?s)[^/@]*:.*@", scheme):
        raise ConfigurationError(f"the URI of {name} holds a user or keys", _KEYS_HINT)
    return uri


def _check_tracking(uri: str | None) -> str | None:
    """`uri`; ConfigurationError, which does not repeat it, where MLflow would take part of a password for a path."""
    scheme, separator, rest = (uri or "").partition("://")
    authority = re.split("[/?#]", rest)[0]
    is_clear = _AUTHORITY.fullmatch(authority) if separator else not re.match("[^/@:]+:[^/].*@", scheme)
    if "@" in (uri or "") and not is_clear:
        raise ConfigurationError("the user or password in MLFLOW_TRACKING_URI is not percent-encoded", _TRACKER_HINT)
    return uri


def _check_address(address: str | None) -> str | None:
    """`address`; ConfigurationError, which does not repeat it, where a user stands in it: each failure prints it."""
    if "@" in (address or ""):
        raise ConfigurationError("the address in RAY_API_SERVER_ADDRESS holds a user or a password", _TOKEN_HINT)
    return address


def _has_wandb(get: Callable[..., str | None]) -> bool:
    mode = get("WANDB_MODE")
    return mode != "disabled" and bool(get("WANDB_API_KEY") or mode in ("offline", "online"))


def _switch(name: str, word: str) -> bool:
    if word not in ("on", "off"):
        raise ConfigurationError(f"{name} is {word!r}", f"set {name} to on or off")
    return word == "on"


def absolute(name: str, folder: str | Path) -> Path:
    """The folder in full; ConfigurationError, which names `name`, below an unknown user's home or a removed folder."""
    try:
        return Path(folder).expanduser().absolute()
    except (RuntimeError, FileNotFoundError) as error:
        raise ConfigurationError(f"{name} is {str(folder)!r}: {error}", "take an absolute path") from error


def read_pools(text: str) -> tuple[WorkerPool, ...]:
    """The pools in `name:max=4,cpu=8,gpu=1 …`, with blanks between them; ConfigurationError where one is misspelt."""
    return tuple(_worker_pool(word) for word in text.split())


def _worker_pool(word: str) -> WorkerPool:
    match = _POOL.fullmatch(word)
    if match is None:
        raise ConfigurationError(
            f"CIFAR_RAY_POOLS has {word!r}",
            "write each pool as NAME:max=NODES,cpu=CPUS,gpu=GPUS of a node, with ,accelerator=TYPE or without",
        )
    return WorkerPool(
        name=match["name"],
        max_nodes=int(match["max"]),
        num_cpus=float(match["cpu"]),
        num_gpus=float(match["gpu"]),
        accelerator=match["accelerator"] or "",
    )
