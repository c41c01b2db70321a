"""Makes the secrets of one cluster and keeps them in files that only their owner can read."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cifar_ray.errors import ClusterError

_ACTIONS = ("Admin", "Read", "Write", "List", "Tagging")


@dataclass(frozen=True, kw_only=True)
class SecretFiles:
    """Where the secrets are kept."""

    folder: Path

    @property
    def token(self) -> Path:
        """Ray's token and nothing else."""
        return self.folder / "ray-token"

    @property
    def credentials(self) -> Path:
        """An AWS shared-credentials file with the S3 keys in its default profile."""
        return self.folder / "aws-credentials"

    @property
    def s3_config(self) -> Path:
        """The S3 keys as the server reads them."""
        return self.folder / "s3.json"

    @property
    def s3_certificate(self) -> Path:
        """The certificate by which the S3 server's parts authenticate each other."""
        return self.folder / "s3.pem"


def make_secrets(files: SecretFiles) -> None:
    """Write a new token and new S3 keys to `files`."""
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    files.folder.mkdir(parents=True, exist_ok=True)
    files.folder.chmod(0o700)
    write_private(files.token, secrets.token_hex(32))
    write_private(
        files.credentials,
        f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n",
    )
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    identity = {"name": "cifar-ray", "credentials": credentials, "actions": list(_ACTIONS)}
    write_private(files.s3_config, json.dumps({"identities": [identity]}))


def read_token(path: Path) -> str:
    """Ray's token; ClusterError where the file cannot be read."""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ClusterError(f"the token file {path} cannot be read: {error.strerror}") from error


def remove_secrets(files: SecretFiles) -> None:
    """Delete the files: with the cluster gone they give access to nothing."""
    for path in (files.token, files.credentials, files.s3_config, files.s3_certificate):
        path.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write `text` to a new file of mode 0600: an old one could have other permissions, or be open elsewhere."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
