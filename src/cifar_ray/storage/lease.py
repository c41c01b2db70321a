"""Keeps a second driver, such as an evaluation, from a sweep that another is at work on.

The driver renews an object, its lease, as long as it lives. Another that wants the sweep first watches that object:
if it changes, its holder lives; if not, its holder is gone. Only the order of writes decides, no clock.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType

from cifar_ray.errors import ObjectNotFoundError, RecordError, StorageError, SweepHeldError, plain
from cifar_ray.json_record import Record
from cifar_ray.provenance import now
from cifar_ray.storage import layout
from cifar_ray.storage.object_store import ObjectStore

PERIOD_S = 5.0
"""Seconds between two renewals."""
PATIENCE_S = 20.0
"""Seconds without a renewal after which a holder counts as gone: a living one would renew four times."""


@dataclass(frozen=True, kw_only=True)
class LeaseRecord(Record):
    """lease.json."""

    holder: str
    host: str
    num_renewals: int
    renewed_at: str | None = None
    """By its host's clock, for people; None in a lease of an older version."""


class Lease:
    """Held for a `with` block, or until the driver dies; SweepHeldError where another driver holds it."""

    def __init__(
        self,
        store: ObjectStore,
        sweep_id: str,
        *,
        say: Callable[[str], None],
        on_loss: Callable[[], None],
        period_s: float = PERIOD_S,
        patience_s: float = PATIENCE_S,
        wait_s: float = 0.0,
    ) -> None:
        """`on_loss` is called from a thread if another driver takes over the sweep while this one is suspended.

        A holder that lives, also one that came at the same time, is waited for, for `wait_s` seconds.
        """
        self._store, self._sweep_id, self._key = store, sweep_id, layout.lease(sweep_id)
        self._say, self._on_loss = say, on_loss
        self._period_s, self._patience_s, self._wait_s = period_s, patience_s, wait_s
        self._mine = LeaseRecord(holder=secrets.token_hex(8), host=socket.gethostname(), num_renewals=0)
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self.is_lost = False

    def __enter__(self) -> Lease:
        try:
            while (found := self._claim()) is None or found.holder != self._mine.holder:
                if not self._wait_s:
                    raise SweepHeldError.of(self._sweep_id, found.host if found else "another")
        except BaseException:
            # a Ctrl-C, too: what is left of a lease looks as if its holder lived
            self._give_back()
            raise
        self._renewing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._renewing.join()
        if not self.is_lost:
            self._give_back()

    def _claim(self) -> LeaseRecord | None:
        """The lease that stands once this one has been written: if two find it free at once, the later one."""
        if (found := self._read(self._store)) is not None:
            self._watch(found)
        self._write(self._store)
        time.sleep(self._period_s / 5)
        return self._read(self._store)

    def _give_back(self) -> None:
        # if this fails, the next driver watches the lease once, then takes it
        with suppress(StorageError):
            store = self._store.hurried()
            # another may have taken it since the last renewal
            if (found := self._read(store)) is not None and found.holder == self._mine.holder:
                store.delete(self._key)

    def _watch(self, found: LeaseRecord) -> None:
        """Return once the holder is known to be gone; SweepHeldError if it still lives after `wait_s`."""
        waiting = f", waiting up to {self._wait_s:g} s if so" if self._wait_s else ""
        looking = f"looking for {self._patience_s:g} s if it lives{waiting}"
        self._say(f"sweep {self._sweep_id} has a driver on {plain(found.host)}: {looking}")
        began = time.monotonic()
        deadline = began + self._patience_s
        while time.monotonic() < deadline:
            time.sleep(self._period_s / 5)
            current = self._read(self._store)
            if current is None:
                return
            if current != found:
                if time.monotonic() >= began + self._wait_s:
                    raise SweepHeldError.of(self._sweep_id, current.host)
                found, deadline = current, time.monotonic() + self._patience_s

    def _renew(self) -> None:
        # one that hangs, as on a connection that was dropped silently, must fail while there is time for another
        store, pause_s = self._store.hurried(), self._period_s
        while not self._ended.wait(pause_s):
            pause_s = self._period_s
            try:
                found = self._read(store)
                # if the lease is gone, another driver took it and removed it at its end
                if found is None or found.holder != self._mine.holder:
                    self.is_lost = True
                    self._on_loss()
                    return
                self._mine = replace(self._mine, num_renewals=self._mine.num_renewals + 1)
                self._write(store)
            except StorageError:
                # a store that is down is down for the others, too; a connection or a request is not
                pause_s = self._period_s / 5

    def _read(self, store: ObjectStore) -> LeaseRecord | None:
        try:
            content = store.read(self._key)
        except ObjectNotFoundError:
            return None
        try:
            return LeaseRecord.from_json(content)
        except RecordError:
            # nobody renews a damaged lease, but a driver of another version does its own
            return LeaseRecord(holder=hashlib.sha256(content).hexdigest(), host="unknown", num_renewals=0)

    def _write(self, store: ObjectStore) -> None:
        store.write(self._key, replace(self._mine, renewed_at=now()).to_json().encode())
