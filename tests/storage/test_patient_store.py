"""A store that is away, and a driver that has lost its sweep meanwhile."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from cifar_ray.errors import StoreUnavailableError
from cifar_ray.evaluation import scoring
from cifar_ray.storage import patient_store
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.object_store import ObjectStore
from cifar_ray.storage.patient_store import PatientStore


class Away(FolderStore):
    """A folder of which the first call finds no answer, once `on_call` is set, and tells."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.on_call: Callable[[], None] | None = None

    def read(self, key: str) -> bytes:
        self._go_away()
        return super().read(key)

    def sizes(self, prefix: str = "") -> dict[str, int]:
        self._go_away()
        return super().sizes(prefix)

    def folders(self) -> list[str]:
        self._go_away()
        return super().folders()

    def write(self, key: str, content: bytes) -> None:
        self._go_away()
        super().write(key, content)

    def delete(self, key: str) -> None:
        self._go_away()
        super().delete(key)

    def _go_away(self) -> None:
        if self.on_call:
            tell, self.on_call = self.on_call, None
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
    store.on_call = patient.retire if is_retired else lambda: None
    patient.write("a", b"new")
    assert store.read("a") == (b"old" if is_retired else b"new")

    patient = PatientStore(store)
    store.on_call = patient.retire if is_retired else lambda: None
    patient.delete("b")
    assert store.keys() == (["a", "b"] if is_retired else ["a"])


@pytest.mark.parametrize(
    ("look", "seen"),
    [
        (lambda store: store.read("a/b"), b"12"),
        (lambda store: store.sizes("a"), {"a/b": 2}),
        (lambda store: store.keys(), ["a/b"]),
        (lambda store: store.folders(), ["a"]),
    ],
    ids=["read", "sizes", "keys", "folders"],
)
def test_what_is_asked_is_asked_again(tmp_path: Path, look: Callable[[ObjectStore], object], seen: object) -> None:
    """Also of a retired driver, whose trials end in order."""
    store = Away(tmp_path)
    store.write("a/b", b"12")
    patient = PatientStore(store)
    store.on_call = patient.retire
    assert look(patient) == seen
    assert store.on_call is None, "it was away"


@pytest.mark.timeout(30)
def test_whoever_waits_is_let_go_where_the_driver_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is written any more: the next driver may have begun."""
    monkeypatch.setattr(patient_store, "FIRST_PAUSE_S", 100)
    store = Away(tmp_path)
    store.write("a", b"old")
    patient = PatientStore(store)
    store.on_call = lambda: threading.Timer(0.2, patient.give_up).start()
    with pytest.raises(StoreUnavailableError, match="no answer"):
        patient.read("a")
    patient.write("a", b"new")
    assert store.read("a") == b"old"


def test_scores_wait_for_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them, the test set would be opened again."""
    store, found = Away(tmp_path), SimpleNamespace(sweep_id="cnn-1", to_json=lambda: "{}")

    def score(_: object) -> tuple[object, object]:
        store.on_call = lambda: None
        return found, found

    monkeypatch.setattr(scoring, "open_store", lambda _: store)
    monkeypatch.setattr(scoring, "load_winner", lambda *_: None)
    monkeypatch.setattr(scoring, "_score", score)
    assert scoring.score_sweep("any", "cnn-1") is found
    assert store.keys() == ["cnn-1/evaluation/answers.json", "cnn-1/evaluation/test_scores.json"]
