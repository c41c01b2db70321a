"""Says which environment variables tie a process to the one-machine cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

MARK = "CIFAR_RAY_LOCAL_CLUSTER"
"""Set in every process that the cluster starts, to its temp dir and part: `down` finds orphans by it."""

_SHADOWING = frozenset(
    {
        "RAY_ADDRESS",
        "RAY_AUTH_TOKEN",
        "RAY_JOB_CONFIG_JSON_ENV_VAR",
        "RAY_NAMESPACE",
        "RAY_TMPDIR",
    }
)
_FOLDERS = ("CIFAR_RAY_HOME", "CIFAR_RAY_CACHE")
_DATA = "CIFAR_RAY_DATA"
_NO_PROXY = "127.0.0.1,localhost"


def client_variables(
    *, dashboard_url: str, s3_endpoint_url: str, storage: str, token_path: str, credentials_path: str
) -> dict[str, str]:
    """What a client of the cluster needs: addresses and paths, no secrets."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": token_path,
        "RAY_API_SERVER_ADDRESS": dashboard_url,
        # the one switch that makes Ray keep to 127.0.0.1, whatever its name says: without it Ray turns
        # --node-ip-address=127.0.0.1 into the machine's outer address and listens on all interfaces
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "AWS_ENDPOINT_URL_S3": s3_endpoint_url,
        "AWS_SHARED_CREDENTIALS_FILE": credentials_path,
        # a role or an SSO session in the user's own ~/.aws/config would come before the credentials file
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "CIFAR_RAY_STORAGE": storage,
    }


def joined(environ: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """`environ` with the cluster's `variables` and without what would shadow them.

    All AWS variables of the user's own go, and those of Ray that name another cluster. Loopback addresses
    are kept from a proxy. Folders of `cifar_ray` are made absolute: jobs run elsewhere.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith("AWS_") and name not in _SHADOWING}
    folders = {name: str(Path(kept[name]).expanduser().absolute()) for name in _FOLDERS if kept.get(name)}
    data = Path(kept.get(_DATA) or "/nowhere").expanduser()
    if data.is_dir():  # else it is a word or a URI
        folders[_DATA] = str(data.absolute())
    return kept | folders | past_proxy(kept) | dict(variables)


def past_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep loopback addresses from a proxy, beside those that `environ` keeps from it."""
    excepted = ",".join(filter(None, (environ.get("NO_PROXY") or environ.get("no_proxy"), _NO_PROXY)))
    return {"NO_PROXY": excepted, "no_proxy": excepted}
