"""The one-machine cluster's store keeps others out, and its own client the user's keys."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from store_admin import add_identity

from cifar_ray.cluster import local, s3_server
from cifar_ray.cluster.ports import HOST
from cifar_ray.errors import ClusterError, UnreachableError

KEYS = "[default]\naws_access_key_id = ours\naws_secret_access_key = secret\n"


class Store(HTTPServer):
    """Has every bucket."""

    signed: list[str]
    """The key that signed each request."""


class Answer(BaseHTTPRequestHandler):
    server: Store

    def do_HEAD(self) -> None:
        self.server.signed.append(self.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def store() -> Iterator[Store]:
    with Store((HOST, 0), Answer) as server:
        server.signed = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.cluster
def test_another_process_of_the_machine_adds_no_identity(cluster: local.LocalCluster) -> None:
    port = cluster.s3_internal_ports[s3_server.PORTS.index("s3.port.grpc")]
    assert add_identity(f"{HOST}:{port}") == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ACCESS_KEY_ID", "rubbish"),
        ("AWS_PROFILE", "theirs"),
        ("AWS_PROFILE", "none"),
        ("AWS_SHARED_CREDENTIALS_FILE", "theirs"),
        ("AWS_SHARED_CREDENTIALS_FILE", "damaged"),
        ("AWS_CONFIG_FILE", "theirs"),
        ("AWS_CONFIG_FILE", "damaged"),
    ],
)
def test_its_client_signs_with_the_clusters_keys_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    own = tmp_path / "own"
    own.write_text(KEYS + KEYS.replace("default", "theirs").replace("ours", "theirs"))
    (tmp_path / "theirs").write_text(KEYS.replace("ours", "theirs"))
    (tmp_path / "damaged").write_text("no section\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "rubbish")
    monkeypatch.setenv(name, value)
    s3_server.check(f"http://{HOST}:{store.server_port}", own)
    assert store.signed == ["ours"]


@pytest.mark.parametrize(
    "text", [None, "", "no section\n", "[default]\naws_access_key_id = ours\n", KEYS.replace("default", "theirs")]
)
def test_without_keys_of_the_clusters_nothing_is_asked(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Neither with keys of the environment's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "rubbish")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "rubbish")
    path = tmp_path / "aws-credentials"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ClusterError, match=f"no keys can be read from {path}") as caught:
        s3_server.check(f"http://{HOST}:{store.server_port}", path)
    assert not isinstance(caught.value, UnreachableError), "which is waited out"
    assert "cifar-ray local up" in str(caught.value.hint)
    assert store.signed == []
