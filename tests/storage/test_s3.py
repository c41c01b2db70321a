"""Against the real S3 server of the one-machine cluster."""

import pickle
from pathlib import Path

import pytest

from cifar_ray.cluster.local import LocalCluster
from cifar_ray.errors import ObjectNotFoundError, StorageError
from cifar_ray.settings import read_settings
from cifar_ray.storage.arrow import arrow_filesystem
from cifar_ray.storage.object_store import ObjectStore, open_store
from cifar_ray.storage.probe import check_marker, check_write_read_delete, leave_marker

pytestmark = pytest.mark.cluster


@pytest.fixture
def store(cluster: LocalCluster, request: pytest.FixtureRequest) -> ObjectStore:
    return open_store(f"s3://cifar-ray/{request.node.name.replace('_', '-')}")


def test_there_and_back(store: ObjectStore) -> None:
    store.write("a/b", b"one")
    store.write("a/b", b"two")
    store.write("c", b"")
    assert store.read("a/b") == b"two"
    assert store.keys() == ["a/b", "c"]
    assert store.keys("a") == ["a/b"]
    assert store.folders() == ["a"]
    store.delete("a/b")
    store.delete("a/b")
    assert store.keys() == ["c"]


def test_more_keys_than_a_page_holds(store: ObjectStore) -> None:
    for number in range(1010):
        store.write(f"many/{number:04d}", b"")
    assert len(store.keys("many")) == 1010


def test_missing_object(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFoundError):
        store.read("nothing")


def test_probe(store: ObjectStore) -> None:
    check_write_read_delete(store)
    marker = leave_marker(store)
    check_marker(store, marker)
    store.delete(marker)
    assert store.keys() == []
    with pytest.raises(StorageError, match="not the same store"):
        check_marker(store, marker)


def test_arrow_sees_the_same_objects(store: ObjectStore) -> None:
    store.write("x/y", b"content")
    filesystem, root = arrow_filesystem(store.uri, read_settings().s3)
    with filesystem.open_input_stream(f"{root}/x/y") as stream:
        assert stream.read() == b"content"


def test_a_bucket_that_is_not_there(cluster: LocalCluster) -> None:
    with pytest.raises(StorageError) as caught:
        check_write_read_delete(open_store("s3://no-such-bucket/x"))
    assert all(
        word in caught.value.message
        for word in ("ListObjectsV2", "NoSuchBucket", "no-such-bucket", cluster.s3_endpoint_url)
    )
    assert "create the bucket" in str(caught.value.hint)


def test_a_wrong_key(cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(cluster.credentials_path).read_text()
    key = next(line.partition("=")[2].strip() for line in text.splitlines() if "access_key_id" in line)
    wrong = tmp_path / "credentials"
    wrong.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = wrong\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(wrong))
    with pytest.raises(StorageError) as caught:
        check_write_read_delete(open_store("s3://cifar-ray/x"))
    assert "SignatureDoesNotMatch" in caught.value.message
    assert "secret key is wrong" in str(caught.value.hint)


def test_no_credentials(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no credentials") as caught:
        check_write_read_delete(open_store("s3://cifar-ray/x"))
    assert "AWS_ACCESS_KEY_ID" in str(caught.value.hint)


def test_no_server(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(StorageError) as caught:
        open_store("s3://cifar-ray/x").read("y")
    assert "http://127.0.0.1:9" in caught.value.message
    assert "AWS_ENDPOINT_URL_S3" in str(caught.value.hint)


def test_pickled_stores_hold_no_credentials(store: ObjectStore, cluster: LocalCluster) -> None:
    store.write("x", b"")  # makes the client
    text = Path(cluster.credentials_path).read_text()
    secret = next(line.partition("=")[2].strip() for line in text.splitlines() if "secret_access_key" in line)
    filesystem, _ = arrow_filesystem(store.uri, read_settings().s3)
    for each in (store, filesystem):
        assert secret.encode() not in pickle.dumps(each)
    assert pickle.loads(pickle.dumps(store)).read("x") == b""  # noqa: S301  # our own bytes
