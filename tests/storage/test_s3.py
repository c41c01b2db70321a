"""Against the real S3 server of the one-machine cluster."""

import itertools
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    CredentialRetrievalError,
    EndpointConnectionError,
    LoginRefreshRequired,
    MetadataRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.response import StreamingBody
from loopback_s3 import LoopbackS3
from loopback_server import serving

from cifar_ray.cluster.local import LocalCluster
from cifar_ray.errors import ObjectNotFoundError, RecordError, StorageError, StoreUnavailableError
from cifar_ray.settings import read_settings
from cifar_ray.storage import s3
from cifar_ray.storage.object_store import MAX_BYTES, ObjectStore, open_store
from cifar_ray.storage.probe import check_marker, check_write_read_delete, leave_marker
from cifar_ray.storage.s3 import MULTIPART_BYTES, S3Store

pytestmark = pytest.mark.cluster

LARGE = MULTIPART_BYTES + 1
Write = Callable[[ObjectStore], None]
WRITES = pytest.mark.parametrize(
    "write", [lambda store: store.write("y", b""), lambda store: store.write("y", bytes(LARGE))], ids=["small", "large"]
)


@pytest.fixture
def store(cluster: LocalCluster, request: pytest.FixtureRequest) -> ObjectStore:
    return open_store(f"s3://cifar-ray/{request.node.name.replace('_', '-')}")


@pytest.fixture
def observer(cluster: LocalCluster) -> Any:
    """Another client, which sees what the store's own does not tell."""
    return boto3.client("s3", region_name="us-east-1")


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


@pytest.mark.parametrize(("num_bytes", "num_parts"), [(0, None), (MULTIPART_BYTES, None), (LARGE, 3)])
def test_only_large_objects_go_up_in_parts(
    store: ObjectStore, observer: Any, num_bytes: int, num_parts: int | None
) -> None:
    content = bytes(range(251)) * (num_bytes // 251) + bytes(num_bytes % 251)
    store.write("x", content)
    assert store.read("x") == content
    tag = observer.head_object(Bucket="cifar-ray", Key=f"{store.uri.removeprefix('s3://cifar-ray/')}/x")["ETag"]
    assert tag.strip('"').partition("-")[2] == (str(num_parts) if num_parts else "")


def test_a_reader_sees_the_old_object_or_the_whole_new_one(store: ObjectStore) -> None:
    old, new = b"old", b"n" * LARGE
    store.write("x", old)
    seen: set[int] = set()
    has_ended = threading.Event()

    def look() -> None:
        while not has_ended.is_set():
            seen.add(len(store.read("x")))

    reader = threading.Thread(target=look)
    reader.start()
    for content in (new, old, new):
        store.write("x", content)
    has_ended.set()
    reader.join(timeout=30)
    assert len(old) in seen
    assert seen <= {len(old), LARGE}


def test_a_part_that_is_refused_leaves_the_old_object_and_no_parts(store: ObjectStore, observer: Any) -> None:
    refusal = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    asked: list[str] = []

    def refuse_the_second(request: Any, **_: Any) -> AWSResponse | None:
        asked.append(request.url)
        is_second = len(asked) > 1
        return AWSResponse(request.url, 403, {}, FixedBody(refusal)) if is_second else None

    store.write("x", b"old")
    # the cluster is shared: a trial that another test ended in mid-upload has left its own
    before = uploads(observer)
    store._client.meta.events.register("before-send.s3.UploadPart", refuse_the_second)  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match=r"multipart upload of 'x' in bucket 'cifar-ray'.*AccessDenied") as caught:
        store.write("x", bytes(LARGE))
    assert "read, write and delete on the prefix, and list on the bucket" in str(caught.value.hint)
    assert store.read("x") == b"old"
    assert uploads(observer) == before


def uploads(observer: Any) -> list[tuple[str, str]]:
    """The multipart uploads of the bucket that are neither complete nor aborted: each key and upload id."""
    found = observer.list_multipart_uploads(Bucket="cifar-ray")
    return [(each["Key"], each["UploadId"]) for each in found.get("Uploads", ())]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b"<html>too many requests</html>"),
        (429, b""),
        (408, b""),
        (400, b"<Error><Code>ThrottlingException</Code></Error>"),
        (403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>"),
        (409, b"<Error><Code>OperationAborted</Code></Error>"),
        (404, b"<Error><Code>NoSuchUpload</Code></Error>"),
        (400, b"<Error><Code>IncompleteBody</Code></Error>"),
        (400, b"<Error><Code>IDPCommunicationError</Code></Error>"),
    ],
)
def test_what_a_busy_store_or_proxy_says_is_passing(store: ObjectStore, status: int, body: bytes) -> None:
    def refuse(request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, status, {}, FixedBody(body))

    store._client.meta.events.register("before-send.s3.PutObject", refuse)  # type: ignore[attr-defined]
    with pytest.raises(StoreUnavailableError) as caught:
        store.write("x", b"new")
    assert "credentials" not in str(caught.value.hint)
    assert not str(caught.value).endswith(": ")


@pytest.fixture
def any_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")


@pytest.fixture
def silent(any_keys: None) -> S3Store:
    """One of a bucket that is nowhere: tests answer for it."""
    return S3Store("bucket", "p", read_settings({}).s3)


def test_a_store_that_answers_404_has_deleted(silent: S3Store) -> None:
    bodies = iter([b"<Error><Code>NoSuchKey</Code></Error>", b"", b"<Error><Code>NoSuchBucket</Code></Error>"])
    answering(silent, 404, bodies)
    silent.delete("x")
    silent.delete("x")
    with pytest.raises(StorageError, match="NoSuchBucket"):
        silent.delete("x")


CHANGES_AND_LISTS: list[Callable[[ObjectStore], object]] = [
    *(lambda store: store.write("x", b""), lambda store: store.write("x", bytes(LARGE))),
    *(lambda store: store.sizes(), lambda store: store.folders()),
]


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"404 page not found"), (404, b"<html>nothing here</html>"), (502, b"<html></html>")]
)
def test_what_something_else_answers_in_place_of_the_store_is_passing(
    silent: S3Store, status: int, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a proxy whose store restarts: no object is gone, and none has been written."""
    monkeypatch.setattr(s3, "MAX_ATTEMPTS", 1)
    answering(silent, status, itertools.repeat(body))
    for call in (lambda store: store.read("x"), *CHANGES_AND_LISTS):
        with pytest.raises(StoreUnavailableError, match=str(status)) as caught:
            call(silent)
        assert "no S3 store" in str(caught.value.hint)


def test_only_a_read_finds_no_object(silent: S3Store) -> None:
    answering(silent, 404, itertools.repeat(b"<Error><Code>NoSuchKey</Code></Error>"))
    for call in CHANGES_AND_LISTS:
        with pytest.raises(StorageError, match="NoSuchKey") as caught:
            call(silent)
        assert type(caught.value) is StorageError
    with pytest.raises(ObjectNotFoundError):
        silent.read("x")


def test_another_region_is_named_as_such(silent: S3Store) -> None:
    answering(silent, 400, itertools.repeat(b"<Error><Code>AuthorizationHeaderMalformed</Code></Error>"))
    with pytest.raises(StorageError, match="AuthorizationHeaderMalformed") as caught:
        silent.read("x")
    assert "AWS_REGION" in str(caught.value.hint)


def answering(store: S3Store, status: int, bodies: Iterator[bytes]) -> None:
    """Each call of the store gets the next body."""

    def answer(request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, status, {}, FixedBody(next(bodies)))

    store._client.meta.events.register("before-send.s3", answer)


def test_other_tools_marks_of_folders_are_no_objects(silent: S3Store) -> None:
    listed = (("p/", 0), ("p/a/", 0), ("p/a/b", 3), ("p/c", 0))
    contents = "".join(f"<Contents><Key>{key}</Key><Size>{size}</Size></Contents>" for key, size in listed)

    def answer(request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, 200, {}, FixedBody(f"<ListBucketResult>{contents}</ListBucketResult>".encode()))

    silent._client.meta.events.register("before-send.s3.ListObjectsV2", answer)
    assert silent.sizes() == {"a/b": 3, "c": 0}


@pytest.mark.parametrize(
    "error",
    [
        CredentialRetrievalError(provider="assume-role", error_msg="timed out"),
        MetadataRetrievalError(error_msg="no answer"),
        EndpointConnectionError(endpoint_url="http://x", error="refused"),
        # what botocore lets through if a `credential_process` or a role's token is not in its place
        FileNotFoundError(2, "No such file or directory", "token"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whoever_hands_out_credentials_is_waited_for_as_the_store_is(silent: S3Store, error: Exception) -> None:
    def refuse(**_: Any) -> None:
        raise error

    silent._client.meta.events.register("before-sign.s3.PutObject", refuse)
    with pytest.raises(StoreUnavailableError, match="PutObject 'x' in bucket 'bucket'"):
        silent.write("x", b"")


@pytest.mark.parametrize(
    "error",
    [UnauthorizedSSOTokenError(), TokenRetrievalError(provider="sso", error_msg="expired"), LoginRefreshRequired()],
    ids=lambda error: type(error).__name__,
)
def test_a_login_that_has_expired_may_be_renewed(silent: S3Store, error: Exception) -> None:
    def refuse(**_: Any) -> None:
        raise error

    silent._client.meta.events.register("before-sign.s3.PutObject", refuse)
    with pytest.raises(StoreUnavailableError, match=r"no credentials: .*(expired|reauthenticate)") as caught:
        silent.write("x", b"")
    assert "AWS_PROFILE" in str(caught.value.hint)
    assert silent._made_client is None, "the next call asks for credentials anew"


@pytest.mark.parametrize(("variable", "value"), [("AWS_PROFILE", "none"), ("AWS_SECRET_ACCESS_KEY", "")])
def test_credentials_that_are_half_there_are_no_outage(
    silent: S3Store, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StorageError, match=r"none|missing") as caught:
        silent.write("x", b"")
    assert type(caught.value) is StorageError
    assert "AWS_PROFILE" in str(caught.value.hint)


def test_no_checksum_is_sent_or_wanted_that_only_some_servers_know(store: ObjectStore) -> None:
    sent: list[Any] = []
    store._client.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(request.headers))  # type: ignore[attr-defined]
    store.write("x", b"new")
    assert not [name for headers in sent for name in headers if "checksum" in name.lower() or "trailer" in name.lower()]
    assert store._client.meta.config.response_checksum_validation == "when_required"  # type: ignore[attr-defined]


def test_an_answer_in_chunks_which_tells_no_length_is_read_no_further_than_a_record_goes(
    any_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MAX_BYTES, ".json", 9)
    whole = {"a.json": b"123456789", "b.json": b"12", "weights": b"1234567890"}
    is_over = threading.Event()
    calls = iter((lambda: None, lambda: is_over.wait(120)))
    with serving(LoopbackS3()) as server:
        server.is_chunked = True
        server.objects = {f"/bucket/p/{key}": content for key, content in (*whole.items(), ("c.json", b"1" * 99))}
        store = server.store()
        assert {key: store.read(key) for key in whole} == whole
        server.before = lambda: next(calls)()  # the first half of the answer is too long already
        with pytest.raises(RecordError, match=r"'c.json' in s3://bucket/p has"):
            store.read("c.json")
        is_over.set()


def test_another_threads_refused_call_takes_no_client_away() -> None:
    class Forgetful(S3Store):
        clients = iter(["client", None])
        _made_client = property(lambda self: next(self.clients), lambda self, client: None)  # type: ignore[assignment]

    assert Forgetful("bucket", "", read_settings({}).s3)._client == "client"


class FixedBody:
    """The raw body of a response."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> list[bytes]:
        return [self._content]


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


def test_a_bucket_that_is_not_there(cluster: LocalCluster) -> None:
    with pytest.raises(StorageError) as caught:
        check_write_read_delete(open_store("s3://no-such-bucket/x"))
    assert all(
        word in caught.value.message
        for word in ("ListObjectsV2", "NoSuchBucket", "no-such-bucket", cluster.s3_endpoint_url)
    )
    assert "create the bucket" in str(caught.value.hint)


@WRITES
def test_a_wrong_key(write: Write, cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(cluster.credentials_path).read_text()
    key = next(line.partition("=")[2].strip() for line in text.splitlines() if "access_key_id" in line)
    wrong = tmp_path / "credentials"
    wrong.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = wrong\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(wrong))
    with pytest.raises(StorageError) as caught:
        write(open_store("s3://cifar-ray/x"))
    assert "SignatureDoesNotMatch" in caught.value.message
    assert "secret key is wrong" in str(caught.value.hint)


@WRITES
def test_no_credentials(write: Write, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no credentials") as caught:
        write(open_store("s3://cifar-ray/x"))
    assert "AWS_ACCESS_KEY_ID" in str(caught.value.hint)


@WRITES
def test_no_server(write: Write, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(StorageError) as caught:
        write(open_store("s3://cifar-ray/x"))
    assert "http://127.0.0.1:9" in caught.value.message
    assert "AWS_ENDPOINT_URL_S3" in str(caught.value.hint)


def test_pickled_stores_hold_no_credentials(store: ObjectStore, cluster: LocalCluster) -> None:
    store.write("x", b"")  # makes the client
    text = Path(cluster.credentials_path).read_text()
    secret = next(line.partition("=")[2].strip() for line in text.splitlines() if "secret_access_key" in line)
    assert secret.encode() not in pickle.dumps(store)
    assert pickle.loads(pickle.dumps(store)).read("x") == b""  # noqa: S301  # our own bytes


def test_threads_that_begin_together_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials of a cohort do, and each client takes a quarter of a second of a core."""
    made: list[object] = []

    def make(store: S3Store) -> object:
        time.sleep(0.2)
        made.append(object())
        return made[-1]

    monkeypatch.setattr(S3Store, "_make_client", make)
    store = S3Store("bucket", "", read_settings({}).s3)
    with ThreadPoolExecutor(8) as threads:
        clients = list(threads.map(lambda _: store._client, range(8)))
    assert clients == made * 8


def test_a_body_that_breaks_off_in_the_middle_is_passing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at a broken TLS record, of which botocore makes no error of its own."""

    def read(*_: object) -> bytes:
        raise urllib3.exceptions.SSLError("decryption failed or bad record mac")

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    with serving(LoopbackS3()) as server:
        server.objects["/bucket/p/x"] = b"content"
        monkeypatch.setattr(StreamingBody, "read", read)
        with pytest.raises(StoreUnavailableError, match="bad record mac"):
            server.store().read("x")


@pytest.mark.parametrize(
    ("variable", "config", "expected"),
    [
        ("", "", "us-east-1"),
        ("", "region = eu-west-1", "eu-west-1"),
        ("eu-north-1", "region = eu-west-1", "eu-north-1"),
    ],
)
def test_the_region_is_the_variables_or_the_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, config: str, expected: str
) -> None:
    (path := tmp_path / "config").write_text(f"[default]\n{config}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setenv("AWS_REGION", variable)
    assert S3Store("bucket", "", read_settings().s3)._make_client().meta.region_name == expected
