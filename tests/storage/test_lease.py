"""One driver to a sweep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback_s3 import LoopbackS3
from loopback_server import serving

from cifar_ray.errors import StorageError, SweepHeldError
from cifar_ray.storage import lease as leases
from cifar_ray.storage import s3
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.lease import Lease, LeaseRecord
from cifar_ray.storage.object_store import ObjectStore

PERIOD_S = 0.1


def _lease(store: ObjectStore, said: list[str] | None = None, lost: threading.Event | None = None) -> Lease:
    return Lease(
        store,
        "cnn-1",
        say=(said if said is not None else []).append,
        on_loss=(lost or threading.Event()).set,
        period_s=PERIOD_S,
        patience_s=6 * PERIOD_S,
    )


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def test_it_is_gone_when_its_holder_ends_in_order(store: FolderStore) -> None:
    for _ in range(2):
        said: list[str] = []
        with _lease(store, said):
            assert store.keys("cnn-1") == ["cnn-1/lease.json"]
        assert store.keys("cnn-1") == []
        assert said == [], "nothing to wait for"


def test_it_is_gone_when_its_holder_is_interrupted_before_it_holds_it(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(leases.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt), _lease(store):
        pytest.fail("it has not come so far")
    assert store.keys("cnn-1") == []


@pytest.mark.fault("two drivers")
def test_a_second_driver_is_refused_while_the_first_lives(store: FolderStore) -> None:
    said: list[str] = []
    with _lease(store):
        with pytest.raises(SweepHeldError, match="cnn-1"), _lease(store, said):
            pytest.fail("two at once")
        assert len(said) == 1
        assert store.keys("cnn-1") == ["cnn-1/lease.json"], "the first keeps it"


@pytest.mark.fault("two drivers")
def test_a_dead_holder_loses_it(store: FolderStore) -> None:
    store.write("cnn-1/lease.json", LeaseRecord(holder="dead", host="gone", num_renewals=7).to_json().encode())
    said: list[str] = []
    began = time.monotonic()
    with _lease(store, said):
        assert time.monotonic() - began >= 6 * PERIOD_S
    assert "gone" in said[0]


def test_a_holder_that_ends_in_order_while_it_is_watched_leaves_it(tmp_path: Path) -> None:
    """As a driver that was told to stop does: who resumes its sweep is not refused."""

    class Ending(FolderStore):
        num_reads = 0

        def read(self, key: str) -> bytes:
            self.num_reads += 1
            if self.num_reads == 2:
                self.delete(key)
            return super().read(key)

    store = Ending(tmp_path)
    store.write("cnn-1/lease.json", LeaseRecord(holder="first", host="h", num_renewals=7).to_json().encode())
    began = time.monotonic()
    with _lease(store) as lease:
        assert time.monotonic() - began < 6 * PERIOD_S, "no longer looked for"
    assert not lease.is_lost


def test_a_holder_of_which_two_renewals_fail_is_seen_to_live(tmp_path: Path, lease_clock: Callable[[], float]) -> None:
    """By the periods that drivers have."""

    class Held(FolderStore):
        def read(self, key: str) -> bytes:
            num_renewals = int(lease_clock() // (3 * leases.PERIOD_S))
            return LeaseRecord(holder="first", host="h", num_renewals=num_renewals).to_json().encode()

        def write(self, key: str, content: bytes) -> None:
            pytest.fail("taken from one that lives")

    with pytest.raises(SweepHeldError), Lease(Held(tmp_path), "cnn-1", say=print, on_loss=threading.Event().set):
        pytest.fail("two at once")


@pytest.mark.parametrize("ends_at_s", [60, None])
def test_a_holder_that_lives_can_be_waited_for(
    tmp_path: Path, lease_clock: Callable[[], float], ends_at_s: float | None
) -> None:
    """Longer than one that is dead, but not for ever."""

    class Held(FolderStore):
        def read(self, key: str) -> bytes:
            if ends_at_s is not None and lease_clock() >= ends_at_s:
                return super().read(key)
            num_renewals = int(lease_clock() // leases.PERIOD_S)
            return LeaseRecord(holder="first", host="h", num_renewals=num_renewals).to_json().encode()

    said: list[str] = []
    lease = Lease(Held(tmp_path), "cnn-1", say=said.append, on_loss=threading.Event().set, wait_s=100)
    if ends_at_s is None:
        with pytest.raises(SweepHeldError), lease:
            pytest.fail("two at once")
        assert 100 <= lease_clock() < 100 + 2 * leases.PERIOD_S
    else:
        with lease:
            assert ends_at_s <= lease_clock() < ends_at_s + leases.PERIOD_S
    assert said == ["sweep cnn-1 has a driver on h: looking for 20 s if it lives, waiting up to 100 s if so"]


def test_a_holder_that_dies_while_it_is_waited_for_loses_it(tmp_path: Path, lease_clock: Callable[[], float]) -> None:
    class Dying(FolderStore):
        is_taken = False

        def read(self, key: str) -> bytes:
            num_renewals = int(min(lease_clock(), 30.0) // leases.PERIOD_S)
            held = LeaseRecord(holder="first", host="h", num_renewals=num_renewals).to_json().encode()
            return super().read(key) if self.is_taken else held

        def write(self, key: str, content: bytes) -> None:
            self.is_taken = True
            super().write(key, content)

    with Lease(Dying(tmp_path), "cnn-1", say=print, on_loss=threading.Event().set, wait_s=600):
        assert 30 + leases.PATIENCE_S <= lease_clock() < 30 + leases.PATIENCE_S + 2 * leases.PERIOD_S


def test_a_damaged_one_is_taken_over(store: FolderStore) -> None:
    store.write("cnn-1/lease.json", b"\xff not json")
    with _lease(store) as lease:
        assert not lease.is_lost


@pytest.mark.fault("two drivers")
def test_one_that_another_version_renews_is_held(store: FolderStore) -> None:
    store.write("cnn-1/lease.json", b'{"renewed": 1}')
    renewal = threading.Timer(2 * PERIOD_S, store.write, ("cnn-1/lease.json", b'{"renewed": 2}'))
    renewal.start()
    with pytest.raises(SweepHeldError), _lease(store):
        pytest.fail("two at once")
    renewal.join()


@pytest.mark.fault("two drivers")
def test_a_holder_that_was_suspended_learns_that_it_has_lost(store: FolderStore) -> None:
    lost = threading.Event()
    with _lease(store, lost=lost) as lease:
        other = LeaseRecord(holder="other", host="elsewhere", num_renewals=0).to_json().encode()
        store.write("cnn-1/lease.json", other)
        assert lost.wait(20 * PERIOD_S)
        assert lease.is_lost
    assert store.read("cnn-1/lease.json") == other, "the other's stays"


def test_a_holder_that_was_suspended_while_another_took_it_and_ended_has_lost(store: FolderStore) -> None:
    lost = threading.Event()
    with _lease(store, lost=lost):
        store.delete("cnn-1/lease.json")
        assert lost.wait(20 * PERIOD_S)
    assert store.keys() == [], "it does not take it again"


def test_a_holder_that_ends_before_it_learns_that_it_has_lost_leaves_the_others(store: FolderStore) -> None:
    with _lease(store) as lease:
        lease._ended.set()  # it renews no more, and sees nothing
        others = LeaseRecord(holder="another", host="there", num_renewals=0).to_json().encode()
        store.write("cnn-1/lease.json", others)
    assert store.read("cnn-1/lease.json") == others


def test_whose_lease_another_has_written_over_at_once_does_not_hold_it(tmp_path: Path) -> None:
    """Both found it free: the later write stands."""
    others = LeaseRecord(holder="another", host="there", num_renewals=0).to_json().encode()

    class Raced(FolderStore):
        def write(self, key: str, content: bytes) -> None:
            super().write(key, content)
            super().write(key, others)

    with pytest.raises(SweepHeldError, match="there"), _lease(Raced(tmp_path)):
        pytest.fail("two at once")
    assert FolderStore(tmp_path).read("cnn-1/lease.json") == others


@pytest.mark.fault("two drivers")
def test_of_two_that_come_at_once_at_most_one_gets_it(store: FolderStore) -> None:
    outcomes: list[str] = []

    def drive() -> None:
        try:
            with _lease(store) as lease:
                time.sleep(5 * PERIOD_S)
                outcomes.append("lost" if lease.is_lost else "held")
        except SweepHeldError:
            outcomes.append("refused")

    threads = [threading.Thread(target=drive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 4
    assert outcomes.count("held") == 1


def test_of_two_that_come_at_once_one_waits_for_the_other(tmp_path: Path, lease_clock: Callable[[], float]) -> None:
    """The other writes last, holds it for half a minute and ends in order."""

    class Raced(FolderStore):
        was_raced = False

        def read(self, key: str) -> bytes:
            if self.was_raced and lease_clock() < 30:
                num_renewals = int(lease_clock() // leases.PERIOD_S)
                return LeaseRecord(holder="another", host="there", num_renewals=num_renewals).to_json().encode()
            return super().read(key)

        def write(self, key: str, content: bytes) -> None:
            if self.was_raced:
                super().write(key, content)
            self.was_raced = True

    with Lease(Raced(tmp_path), "cnn-1", say=print, on_loss=threading.Event().set, wait_s=600):
        assert 30 <= lease_clock() < 30 + 2 * leases.PERIOD_S


def test_it_outlasts_a_store_that_is_down(tmp_path: Path) -> None:
    class Flaky(FolderStore):
        is_down = False

        def read(self, key: str) -> bytes:
            if self.is_down:
                raise StorageError("down")
            return super().read(key)

    store = Flaky(tmp_path)
    lost = threading.Event()
    with _lease(store, lost=lost):
        store.is_down = True
        time.sleep(4 * PERIOD_S)
        store.is_down = False
        before = store.read("cnn-1/lease.json")
        time.sleep(4 * PERIOD_S)
        assert store.read("cnn-1/lease.json") != before, "renewed again"
    assert not lost.is_set()


def test_a_renewal_that_fails_is_tried_again_sooner_than_the_next_is_due(tmp_path: Path) -> None:
    """A busy store refuses some of a client's calls."""
    fails = iter((True, True, False, True, False))

    class Busy(FolderStore):
        def hurried(self) -> Busy:
            return Busy(tmp_path)

        def read(self, key: str) -> bytes:
            if next(fails):
                raise StorageError("SlowDown")
            return super().read(key)

    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > 5

    store = Busy(tmp_path)
    lease = _lease(store)
    lease._write(store)
    lease._ended.wait = wait  # type: ignore[method-assign, assignment]
    lease._renew()
    assert waits == [PERIOD_S, PERIOD_S / 5, PERIOD_S / 5, PERIOD_S, PERIOD_S / 5, PERIOD_S]


@pytest.mark.fault("two drivers")
def test_a_renewal_that_is_never_answered_leaves_time_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a connection that a firewall has forgotten: not even a reset comes back."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    hangs, is_over = threading.Event(), threading.Event()

    def hang_once() -> None:
        if not hangs.is_set():
            hangs.set()
            is_over.wait(120)

    key = "/bucket/p/cnn-1/lease.json"
    with serving(LoopbackS3()) as server:
        store = server.store()
        with Lease(store, "cnn-1", say=print, on_loss=print, period_s=PERIOD_S):
            server.before = hang_once
            try:
                assert hangs.wait(20)
                last = server.objects[key]
                until = time.monotonic() + leases.PATIENCE_S
                while server.objects[key] == last and time.monotonic() < until:
                    time.sleep(PERIOD_S)
                assert server.objects[key] != last, "renewed before it counts as dead"
            finally:
                is_over.set()
        assert key not in server.objects
    assert store._client.meta.config.read_timeout == s3.READ_TIMEOUT_S, "whoever else uses the store has its patience"


def test_it_is_given_back_without_patience(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stopped its holder waits for no store."""
    hurried: list[ObjectStore] = []
    monkeypatch.setattr(FolderStore, "hurried", lambda store: hurried.append(store) or store)
    with _lease(store):
        hurried.clear()
    assert hurried == [store]


def test_the_name_of_a_holders_host_steers_no_terminal(store: FolderStore) -> None:
    held = LeaseRecord(holder="x", host="\x1b]0;pwned\x07", num_renewals=0)
    store.write("cnn-1/lease.json", held.to_json().encode())
    said: list[str] = []
    with _lease(store, said):
        assert "pwned" in said[0]
        assert said[0].isprintable()
