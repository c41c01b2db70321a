"""A store that is away, and a driver that has lost its sweep meanwhile."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cifar_ray.errors import StoreUnavailableError
from cifar_ray.storage import patient_store
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.patient_store import PatientStore


class Away(FolderStore):
    """A folder of which the first change finds no answer, and tells."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.on_change: Callable[[], None] | None = None

    def write(self, key: str, content: bytes) -> None:
        self._go_away()
        super().write(key, content)

    def delete(self, key: str) -> None:
        self._go_away()
        super().delete(key)

    def _go_away(self) -> None:
        if self.on_change:
            tell, self.on_change = self.on_change, None
            tell()
            raise StoreUnavailableError("no answer")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_store, "FIRST_PAUSE_S", 0.01)


@pytest.mark.parametrize("is_retired", [False, True])
def test_what_is_tried_again_is_left_where_another_driver_has_taken_over(tmp_path: Path, is_retired: bool) -> None:
    store = Away(tmp_path)
    patient = PatientStore(store)
    patient.write("a", b"old")
    patient.write("b", b"")
    store.on_change = patient.retire if is_retired else lambda: None
    patient.write("a", b"new")
    assert store.read("a") == (b"old" if is_retired else b"new")

    patient = PatientStore(store)
    store.on_change = patient.retire if is_retired else lambda: None
    patient.delete("b")
    assert store.keys() == (["a", "b"] if is_retired else ["a"])
