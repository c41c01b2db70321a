import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.errors import ConfigurationError, CredentialsError, RecordError, StorageError
from cifar_ray.storage import s3
from cifar_ray.storage.object_store import MAX_BYTES, check_key, open_store
from cifar_ray.storage.runs import open_sweep


@pytest.mark.parametrize(
    ("uri", "canonical"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://my.bucket-1/a/b/", "s3://my.bucket-1/a/b"),
        ("s3://my_bucket/a", "s3://my_bucket/a"),
        ("/tmp/x", "/tmp/x"),
    ],
)
def test_uris_that_are_taken(uri: str, canonical: str) -> None:
    assert open_store(uri).uri == canonical


def test_a_relative_folder_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("some/folder").uri == str(tmp_path / "some/folder")


@pytest.mark.parametrize(
    "uri",
    [
        *("", "  ", "gs://bucket/x", "http://host/x", "s3://", "s3://a", "s3://UPPER/x", "s3://_bc/x"),
        *("s3://1.2.3.4/x", "s3://bucket/../x", "s3://bucket/a//b", "file:///tmp/x", "s3:// bucket", "a\0b"),
        *("s3:/bucket/x", "/somewhere/s3:/bucket/x", "~no-such-user/x", "a\ud800"),
    ],
)
def test_malformed_uris(uri: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(uri)
    assert "s3://bucket/prefix" in str(caught.value.hint)


@given(st.text(max_size=60))
def test_any_string_is_a_store_or_bad_input(uri: str) -> None:
    try:
        open_store(uri)
    except ConfigurationError:
        return


@given(st.text(alphabet="ab/.\\", max_size=12))
def test_a_key_never_climbs(key: str) -> None:
    try:
        check_key(key)
    except ConfigurationError:
        return
    resolved = (Path("/root") / key).resolve()
    assert Path("/root") in resolved.parents


@pytest.mark.parametrize("key", ["a\0b", "a\ud800", "a/../b", "/a", "a/", "a\\b", ""])
def test_malformed_keys(key: str) -> None:
    with pytest.raises(ConfigurationError, match="object key"):
        check_key(key)


@pytest.mark.parametrize(
    "uri",
    [
        *("s3://AKIA123:SECRETPW@bucket/x", "s3://AKIA123:SECRET/PW@bucket", "s3://SECRETPW@bucket"),
        *("https://me:SECRETPW@host/bucket/x", "s3://AKIA123:SECRETPW@bucket/../x"),
        *("s3:AKIA123:SECRETPW@bucket", "s3:/AKIA123:SECRET/PW@bucket/x", "AKIA123:SECRETPW@bucket/x"),
    ],
)
def test_keys_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    for take in (open_store, open_sweep):
        with pytest.raises(ConfigurationError) as caught:
            take(uri)
        assert not re.search("SECRET|PW|AKIA", caught.value.message)
        assert "AWS_SECRET_ACCESS_KEY" in str(caught.value.hint)


def test_an_at_in_a_prefix_is_no_user() -> None:
    assert open_store("s3://bucket/me@home").uri == "s3://bucket/me@home"
    assert open_store("/tmp/me@home").uri == "/tmp/me@home"
    assert open_store("/tmp/a:b@home").uri == "/tmp/a:b@home"
    assert open_store("me@home").uri.endswith("/me@home")


def test_what_the_client_says_of_a_profiles_endpoint_has_no_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://user:SECRETPW@127.0.0.1:9\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(s3, "MAX_ATTEMPTS", 1)
    with pytest.raises(StorageError, match="endpoint") as caught:
        open_store("s3://bucket/x").read("key")
    assert "SECRETPW" not in caught.value.message


def test_a_record_larger_than_any_is_not_read_from_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    class Body(io.BytesIO):
        def read(self, *arguments: object) -> bytes:
            pytest.fail("read")

    class Client:
        def get_object(self, **names: str) -> dict[str, object]:
            return {"Body": Body(), "ContentLength": MAX_BYTES[".json"] + 1}

    store = open_store("s3://bucket/x")
    monkeypatch.setattr(store, "_made_client", Client())
    with pytest.raises(RecordError, match="at most 16"):
        store.read("cnn-1/sweep.json")


class Client:
    """Refuses each call with one error, or does what it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def delete_object(self, **names: str) -> None:
        if self._error:
            raise self._error


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ExpiredToken"}}, "DeleteObject"),
        ClientError({"Error": {"Code": "InvalidAccessKeyId"}}, "DeleteObject"),
        NoCredentialsError(),
    ],
    ids=["expired", "withdrawn", "none yet"],
)
def test_credentials_that_are_refused_are_asked_for_anew(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A sweep of hours outlasts a session token: variables, files and roles are looked at again."""
    clients = iter([Client(error), Client()])
    session = SimpleNamespace(client=lambda *arguments, **settings: next(clients), region_name=None)
    monkeypatch.setattr(s3.boto3.session, "Session", lambda: session)
    store = open_store("s3://bucket/x")
    with pytest.raises(CredentialsError):
        store.delete("key")
    store.delete("key")
    store.delete("key")
