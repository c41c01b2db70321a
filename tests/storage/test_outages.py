"""A store that is away for a while: the real S3 server behind a proxy that breaks what passes."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import get_args
from urllib.parse import urlsplit

import pytest
from faulty_proxy import Fault, FaultyProxy

from cifar_ray.cluster.local import LocalCluster
from cifar_ray.errors import StorageError, StoreUnavailableError
from cifar_ray.storage import s3, uploading
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.patient_store import PatientStore
from cifar_ray.storage.s3 import MULTIPART_BYTES
from cifar_ray.storage.spilling import Spill
from cifar_ray.storage.uploading import CheckpointUploader

pytestmark = pytest.mark.cluster

OUTAGE_S = 3.0
WEIGHTS = bytes(MULTIPART_BYTES + 1)
FAULTS = pytest.mark.parametrize("fault", get_args(Fault))


@pytest.fixture
def proxy(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    server = urlsplit(cluster.s3_endpoint_url)
    with FaultyProxy(str(server.hostname), int(server.port or 0)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint_url)
        # the client's own attempts come on top of ours
        monkeypatch.setattr(s3, "MAX_ATTEMPTS", 2)
        yield proxy


def checkpoint(epoch: int) -> Checkpoint:
    return Checkpoint(
        epoch=epoch, validation_accuracy=epoch / 10, config={"model": "x"}, weights=WEIGHTS, trainer_state=b"s"
    )


@pytest.mark.fault("the store breaks calls")
@FAULTS
def test_checkpoints_arrive_after_an_outage_that_nobody_waits_for(
    proxy: FaultyProxy,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setattr(uploading, "SPILL_AFTER_S", OUTAGE_S / 2)
    spill = Spill()
    checkpoints = CheckpointStore(PatientStore(open_store(f"s3://cifar-ray/outage-{fault}")), "cnn-1", "t0000")
    with ThreadPoolExecutor(1) as executor:
        uploader = CheckpointUploader(checkpoints, executor, {}, spill)
        uploader.submit(1, 0.1, lambda: checkpoint(1))
        uploader.drain()
        proxy.break_with(fault)
        began = time.monotonic()
        for epoch in range(2, 6):
            uploader.submit(epoch, epoch / 10, lambda epoch=epoch: checkpoint(epoch))  # type: ignore[misc]
        assert time.monotonic() - began < OUTAGE_S / 2, "training waits"
        time.sleep(OUTAGE_S)
        uploader.submit(6, 0.6, lambda: checkpoint(6))
        time.sleep(0.5)
        assert spill.num_bytes == 2 * (len(WEIGHTS) + 1), "5 and 6 wait on the disk behind the first"
        assert proxy.num_faults > 0
        record_property("injected", proxy.num_faults)
        proxy.break_with(None)
        uploader.drain(deadline_s=60)
    assert spill.num_bytes == 0
    assert checkpoints.epochs() == [5, 6]
    newest = checkpoints.load_newest(pytest.fail)
    assert newest is not None
    assert (newest.epoch, newest.weights) == (6, WEIGHTS)


@pytest.mark.fault("the store stays away")
@FAULTS
def test_one_that_stays_away_is_an_error_that_says_so(proxy: FaultyProxy, fault: Fault) -> None:
    store = PatientStore(open_store("s3://cifar-ray/outage"), patience_s=2)
    proxy.break_with(fault)
    with pytest.raises(StoreUnavailableError, match=r"at http://127\.0\.0\.1.*tried for 2 s"):
        store.write("x", WEIGHTS)


def test_a_refusal_is_no_outage(proxy: FaultyProxy) -> None:
    began = time.monotonic()
    with pytest.raises(StorageError, match="NoSuchBucket") as caught:
        PatientStore(open_store("s3://not-a-bucket/x")).read("x")
    assert time.monotonic() - began < 10
    assert not isinstance(caught.value, StoreUnavailableError)
