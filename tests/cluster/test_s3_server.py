"""The one-machine cluster's store keeps others out, and its own client the user's keys."""

import os
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import boto3
import grpc
import pytest
from loopback_server import NotingServer, serving

from cifar_ray.cluster import local, s3_server
from cifar_ray.cluster.credentials import SecretFiles, make_secrets
from cifar_ray.cluster.ports import HOST
from cifar_ray.cluster.processes import identify
from cifar_ray.cluster.server import Server
from cifar_ray.cluster.state import StateFolder
from cifar_ray.errors import ClusterError, UnreachableError

LOOK_UP = "/filer_pb.SeaweedFiler/LookupDirectoryEntry"
# directory /buckets/cifar-ray, name admission
ADMISSION = b"\x0a\x12/buckets/cifar-ray\x12\x09admission"
KEYS = "[default]\naws_access_key_id = ours\naws_secret_access_key = secret\n"


@pytest.fixture
def store() -> Iterator[NotingServer]:
    """Has every bucket."""
    with serving(NotingServer()) as server:
        yield server


def keys_shown(store: NotingServer) -> list[str]:
    """The key that signed each request."""
    return [(signed or "").partition("Credential=")[2].partition("/")[0] for signed in store.headers("Authorization")]


def ports(cluster: local.LocalCluster) -> dict[str, int]:
    return dict(zip(s3_server.PORTS, cluster.s3_internal_ports, strict=True))


def call(port: int, credentials: grpc.ChannelCredentials | None) -> str:
    """The status of a call of the filer's at that port."""
    address = f"{HOST}:{port}"
    with grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address) as channel:
        look_up = channel.unary_unary(LOOK_UP, request_serializer=bytes, response_deserializer=bytes)
        try:
            look_up(ADMISSION, timeout=20)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


@pytest.fixture
def secret_files(cluster: local.LocalCluster) -> SecretFiles:
    return SecretFiles(folder=Path(cluster.credentials_path).parent)


@pytest.mark.cluster
def test_its_parts_answer_each_other_alone(cluster: local.LocalCluster, secret_files: SecretFiles) -> None:
    boto3.client("s3").put_object(Bucket=s3_server.BUCKET, Key="admission", Body=b"x")
    pem = secret_files.s3_certificate.read_bytes()
    its_own = grpc.ssl_channel_credentials(pem, private_key=pem, certificate_chain=pem)
    assert call(ports(cluster)["filer.port.grpc"], its_own) == "OK"
    without = grpc.ssl_channel_credentials(pem)
    of_grpc = [port for name, port in ports(cluster).items() if name.endswith("grpc")]
    assert len(of_grpc) == 4
    assert {call(port, credentials) for port in of_grpc for credentials in (None, without)} == {"UNAVAILABLE"}
    assert stat.S_IMODE(secret_files.s3_certificate.stat().st_mode) == 0o600


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("part", "path", "status"),
    [
        # a page of any web site may ask for these, as pictures
        ("master.port", "/col/delete?collection=nonesuch", 404),
        ("master.port", "/dir/assign", 404),
        ("filer.port", "/buckets/cifar-ray/", 404),
        ("volume.port", "/1,01637037d6", 401),
    ],
)
def test_nothing_is_had_by_http_but_s3(cluster: local.LocalCluster, part: str, path: str, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://{HOST}:{ports(cluster)[part]}{path}", timeout=20)
    caught.value.close()
    assert caught.value.code == status


@pytest.mark.cluster
@pytest.mark.parametrize("asks", [b"Action=ListUsers&Version=2010-05-08", b"Action=AssumeRole&Version=2011-06-15"])
def test_it_hands_out_no_other_keys(cluster: local.LocalCluster, asks: bytes) -> None:
    """By default it has users and roles on the same port, and answers who signs nothing with what is wrong."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(cluster.s3_endpoint_url, data=asks, timeout=20)
    caught.value.close()
    assert caught.value.code == 405


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
    store: NotingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    own = tmp_path / "own"
    own.write_text(KEYS + KEYS.replace("default", "theirs").replace("ours", "theirs"))
    (tmp_path / "theirs").write_text(KEYS.replace("ours", "theirs"))
    (tmp_path / "damaged").write_text("no section\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "rubbish")
    monkeypatch.setenv(name, value)
    s3_server.check(store.url, own)
    assert keys_shown(store) == ["ours"]


@pytest.mark.parametrize(
    "text", [None, "", "no section\n", "[default]\naws_access_key_id = ours\n", KEYS.replace("default", "theirs")]
)
def test_without_keys_of_the_clusters_nothing_is_asked(
    store: NotingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Neither with keys of the environment's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "rubbish")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "rubbish")
    path = tmp_path / "aws-credentials"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ClusterError, match=f"no keys can be read from {path}") as caught:
        s3_server.check(store.url, path)
    assert not isinstance(caught.value, UnreachableError), "which is waited out"
    assert "cifar-ray local up" in str(caught.value.hint)
    assert store.asked == []


@pytest.mark.cluster
def test_its_disk_alone_limits_what_it_holds(cluster: local.LocalCluster) -> None:
    assert cluster.s3
    flags = Path(f"/proc/{cluster.s3.pid}/cmdline").read_text().split("\0")
    assert {"-volume.max=0", "-volume.minFreeSpace=1024MiB", "-master.vacuumIntervalSeconds=60"} <= set(flags)


def test_a_full_store_is_ready_once_it_answers(
    store: NotingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.content = (
        b"<ListAllMyBucketsResult><Buckets><Bucket><Name>cifar-ray</Name></Bucket></Buckets></ListAllMyBucketsResult>"
    )
    make_secrets((state := StateFolder(home=tmp_path)).secrets)
    monkeypatch.setattr(s3_server.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**30 - 1))
    me = Server(name="S3", process=identify(os.getpid()), log_path=tmp_path / "log")
    s3_server.wait(me, me, store.url, state)
    assert [method for method, _ in store.asked] == ["GET", "HEAD"]
