"""Retries calls to a store whose network, server or credentials may fail for a while in a sweep of hours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from cifar_ray.errors import CredentialsError, StorageError, StoreUnavailableError
from cifar_ray.storage.object_store import ObjectStore

PATIENCE_S = 600.0
"""As long as the uploader waits for checkpoints."""
FIRST_PAUSE_S, LONGEST_PAUSE_S, LOOKING_PERIOD_S = 1.0, 15.0, 0.5

T = TypeVar("T")


def may_come_up(error: StorageError) -> bool:
    """Whether a store that fails at the first look may be up soon: later, credentials too may be renewed."""
    return isinstance(error, StoreUnavailableError) and not isinstance(error, CredentialsError)


class PatientStore(ObjectStore):
    """Wraps a store: a call that it does not answer is retried, with growing pauses, for `patience_s` seconds."""

    def __init__(self, store: ObjectStore, patience_s: float = PATIENCE_S) -> None:
        self._store = store
        self._patience_s = patience_s
        self._is_retired = False

    def retire(self) -> None:
        """Write and delete nothing from now on: another driver has taken over, and this one's state is out of date."""
        self._is_retired = True

    def give_up(self) -> None:
        """Retire, and wait for no call any longer: the driver ends, which its threads that still wait would hold up."""
        self.retire()
        self._patience_s = 0.0

    def hurried(self) -> ObjectStore:
        """The store's own, without patience."""
        return self._store.hurried()

    @property
    def uri(self) -> str:
        """The store's URI."""
        return self._store.uri

    def read(self, key: str) -> bytes:
        """The object's bytes."""
        return self._insist(lambda: self._store.read(key))

    def write(self, key: str, content: bytes) -> None:
        """Put the object whole."""
        self._change(lambda: self._store.write(key, content))

    def delete(self, key: str) -> None:
        """Remove the object."""
        self._change(lambda: self._store.delete(key))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The bytes of each object, by key."""
        return self._insist(lambda: self._store.sizes(prefix))

    def folders(self) -> list[str]:
        """The names of the top folders."""
        return self._insist(self._store.folders)

    def _change(self, call: Callable[[], None]) -> None:
        def unless_retired() -> None:
            # checked at each try: it may be retired between two
            if not self._is_retired:
                call()

        self._insist(unless_retired)

    def _insist(self, call: Callable[[], T]) -> T:
        began, patience_s = time.monotonic(), self._patience_s
        pause = FIRST_PAUSE_S
        while True:
            try:
                return call()
            except StoreUnavailableError as error:
                next_try = time.monotonic() + pause
                # looked at now and then: it may be given up meanwhile
                while next_try <= began + self._patience_s and (left := next_try - time.monotonic()) > 0:
                    time.sleep(min(left, LOOKING_PERIOD_S))
                if next_try > began + self._patience_s:
                    raise StoreUnavailableError(f"{error.message} (tried for {patience_s:g} s)", error.hint) from error
            pause = min(2 * pause, LONGEST_PAUSE_S)
