import os
from types import SimpleNamespace

import pytest

from cifar_ray.cli import connection


def test_a_client_of_the_local_cluster_has_no_keys_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would go before the cluster's own, and to its server."""
    mine = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SESSION_TOKEN": "mine", "RAY_ADDRESS": "elsewhere:6379", "PATH": "/bin"}
    monkeypatch.setattr(os, "environ", mine)
    cluster = SimpleNamespace(
        environment=lambda: {"AWS_SHARED_CREDENTIALS_FILE": "/home/keys", "RAY_AUTH_MODE": "token"}
    )
    connection.enter(cluster)  # type: ignore[arg-type]
    kept = {name: value for name, value in mine.items() if name.lower() != "no_proxy"}
    assert kept == {"AWS_SHARED_CREDENTIALS_FILE": "/home/keys", "RAY_AUTH_MODE": "token", "PATH": "/bin"}
