"""Secrets in files of their owner's own."""

import pytest

from cifar_ray.cluster.credentials import (
    SecretFiles,
    make_secrets,
    read_s3_keys,
    read_token,
    remove_secrets,
)
from cifar_ray.errors import ClusterError


def test_secrets_are_private_and_new_each_time(tmp_path):
    files = SecretFiles(folder=tmp_path / "secrets")
    files.folder.mkdir()
    files.token.write_text("old")
    files.token.chmod(0o644)
    keys = make_secrets(files)
    for path in (files.token, files.credentials, files.s3_config):
        assert path.stat().st_mode & 0o777 == 0o600
    assert files.folder.stat().st_mode & 0o777 == 0o700
    assert len(read_token(files.token)) == 64
    assert read_s3_keys(files.credentials) == keys
    assert keys.secret_key not in repr(keys)
    assert make_secrets(files) != keys


def test_missing_files_are_an_error_of_ours(tmp_path):
    files = SecretFiles(folder=tmp_path)
    make_secrets(files)
    remove_secrets(files)
    with pytest.raises(ClusterError):
        read_token(files.token)
    with pytest.raises(ClusterError):
        read_s3_keys(files.credentials)
