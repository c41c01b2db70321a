"""The thread that writes the books, and what ends it."""

import threading

import pytest

from cifar_ray.errors import StoreUnavailableError
from cifar_ray.records import EpochMetrics
from cifar_ray.resource_use import ResourceUse
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.bookkeeper import Bookkeeper


@pytest.mark.timeout(20)
def test_a_store_that_is_away_is_waited_for_until_the_deadline(
    runs: RunStore, epoch_metrics: list[EpochMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_back = threading.Event()
    monkeypatch.setattr(runs, "write_metrics", lambda *arguments: is_back.wait(20))
    books = Bookkeeper(runs, "cnn-1")
    books.keep_metrics(epoch_metrics, ResourceUse())
    with pytest.raises(StoreUnavailableError, match="records of cnn-1 have not arrived"):
        books.drain(0.1)
    is_back.set()
    books.drain()


@pytest.mark.timeout(20)
def test_its_error_is_raised_and_not_waited_for(
    runs: RunStore, epoch_metrics: list[EpochMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(runs, "write_metrics", fail)
    books = Bookkeeper(runs, "cnn-1")
    books.keep_metrics(epoch_metrics, ResourceUse())
    with pytest.raises(RuntimeError, match="changed size"):
        books.drain()
