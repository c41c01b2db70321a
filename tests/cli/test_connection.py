import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from cifar_ray.cli import connection
from cifar_ray.cli.release_flags import ReleaseChoice
from cifar_ray.cluster.on_kubernetes.head_access import HeadAccess
from cifar_ray.errors import ConfigurationError, UnreachableError
from cifar_ray.reporting.comparison import compare


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


def test_the_command_that_lists_the_sweeps_names_the_store_that_was_named(tmp_path: Path) -> None:
    (store := tmp_path / "my store").mkdir()
    (store / "a-1").mkdir()
    (store / "a-1" / "sweep.json").touch()
    runs = connection.connect_runs(str(store))
    for ask in (lambda: runs.sweep("zzz"), lambda: compare(runs, ["a-1"])):
        with pytest.raises(ConfigurationError) as error:
            ask()
        assert f"`cifar-ray results list --storage '{store}'`" in str(error.value.hint)


def test_a_release_without_a_token_gets_no_other_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"RAY_AUTH_TOKEN": "another's", "RAY_AUTH_TOKEN_PATH": "/home/me/token"})
    monkeypatch.setattr(connection, "reach_head", lambda release: nullcontext(HeadAccess(url="http://h:1", token=None)))
    with click.Context(click.Command("x")):
        connection.use_release(SimpleNamespace(find=lambda: None))  # type: ignore[arg-type]
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ)


def test_a_release_that_does_not_answer_is_looked_at_by_its_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "use_release", lambda release: None)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    with pytest.raises(UnreachableError) as caught:
        connection.connect_jobs(ReleaseChoice(name="r", namespace=None, context=None))
    assert caught.value.hint == "look with `cifar-ray cluster doctor --release r`"
