"""The one-machine cluster's store keeps others out."""

import stat
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import grpc
import pytest

from cifar_ray.cluster import local, s3_server
from cifar_ray.cluster.credentials import SecretFiles
from cifar_ray.cluster.ports import HOST

pytestmark = pytest.mark.cluster

LOOK_UP = "/filer_pb.SeaweedFiler/LookupDirectoryEntry"
# directory /buckets/cifar-ray, name admission
ADMISSION = b"\x0a\x12/buckets/cifar-ray\x12\x09admission"


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
