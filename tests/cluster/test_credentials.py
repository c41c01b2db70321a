"""Secrets in files of their owner's own."""

import json

import pytest
from botocore.credentials import SharedCredentialProvider

from cifar_ray.cluster.credentials import SecretFiles, make_secrets, read_token, remove_secrets
from cifar_ray.errors import ClusterError


def test_secrets_are_private_and_new_each_time(tmp_path):
    files = SecretFiles(folder=tmp_path / "secrets")
    files.folder.mkdir()
    files.token.write_text("old")
    files.token.chmod(0o644)
    make_secrets(files)
    for path in (files.token, files.credentials, files.s3_config):
        assert path.stat().st_mode & 0o777 == 0o600
    assert files.folder.stat().st_mode & 0o777 == 0o700
    assert len(read_token(files.token)) == 64
    keys = SharedCredentialProvider(str(files.credentials)).load()
    (identity,) = json.loads(files.s3_config.read_text())["identities"]
    assert identity["credentials"] == [{"accessKey": keys.access_key, "secretKey": keys.secret_key}]
    old = [path.read_text() for path in (files.token, files.credentials, files.s3_config)]
    make_secrets(files)
    new = [path.read_text() for path in (files.token, files.credentials, files.s3_config)]
    assert not set(old) & set(new)


def test_a_missing_token_is_an_error_of_ours(tmp_path):
    files = SecretFiles(folder=tmp_path)
    make_secrets(files)
    remove_secrets(files)
    with pytest.raises(ClusterError):
        read_token(files.token)
