import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cifar_ray.errors import ConfigurationError, ObjectNotFoundError, RecordError, StorageError
from cifar_ray.storage import object_store
from cifar_ray.storage.folder import PARTIAL, FolderStore


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "root")


def test_there_and_back(store: FolderStore) -> None:
    store.write("a/b.txt", b"one")
    store.write("a/b.txt", b"two")
    assert store.read("a/b.txt") == b"two"
    assert store.keys() == ["a/b.txt"]
    assert store.keys("a") == ["a/b.txt"]
    assert store.folders() == ["a"]


def test_an_empty_store_lists_nothing(store: FolderStore) -> None:
    assert (store.keys(), store.folders(), store.keys("x")) == ([], [], [])


def test_missing_objects(store: FolderStore) -> None:
    with pytest.raises(ObjectNotFoundError, match="a/b"):
        store.read("a/b")
    store.delete("a/b")


def test_delete_leaves_no_empty_folders(store: FolderStore, tmp_path: Path) -> None:
    store.write("a/b/c", b"")
    store.write("a/d", b"")
    store.delete("a/b/c")
    assert not (tmp_path / "root/a/b").exists()
    assert store.keys() == ["a/d"]


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../x", "", "a//b", "."])
def test_keys_cannot_leave_the_root(store: FolderStore, key: str) -> None:
    with pytest.raises(ConfigurationError, match="malformed"):
        store.write(key, b"")


def test_a_broken_write_leaves_the_old_object(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a", b"old")

    def fail(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(StorageError, match="No space left"):
        store.write("a", b"new")
    assert store.read("a") == b"old"
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["a"]


def test_a_record_is_on_the_disk_before_it_has_its_name(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss of power would otherwise leave an empty one."""
    synced: list[tuple[int, bool]] = []

    def sync(number: int) -> None:
        synced.append((os.fstat(number).st_size, (tmp_path / "root/a.json").exists()))

    monkeypatch.setattr(os, "fsync", sync)
    for key in ("a.json", "a.jsonl", "weights"):
        store.write(key, key.encode())
    assert synced == [(6, False), (7, True)]


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        FolderStore(tmp_path / "file").write("a", b"")
    assert "CIFAR_RAY_STORAGE" in str(caught.value.hint)


def test_a_place_where_nothing_can_be_made() -> None:
    with pytest.raises(StorageError, match=r"^cannot write 'a' in folder /proc/x: No such file") as caught:
        FolderStore(Path("/proc/x")).write("a", b"")
    assert type(caught.value) is StorageError
    assert "CIFAR_RAY_STORAGE" in str(caught.value.hint)


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.read("a/b"),
        lambda store: store.write("a/b", b""),
        lambda store: store.delete("a/b"),
        lambda store: store.sizes("a"),
    ],
    ids=["read", "write", "delete", "list"],
)
def test_a_folder_that_cannot_be_looked_into(call: Callable[[FolderStore], object], tmp_path: Path) -> None:
    # as root, who runs the tests of some, may look into any other
    with pytest.raises(StorageError, match="File name too long"):
        call(FolderStore(tmp_path / ("x" * 256)))


def test_half_written_files_are_no_objects(store: FolderStore, tmp_path: Path) -> None:
    store.write("a/b", b"whole")
    (tmp_path / "root/a" / f"{PARTIAL}1").write_bytes(b"ha")
    assert store.keys() == ["a/b"]


def test_a_reader_sees_the_old_object_or_the_new_one(store: FolderStore) -> None:
    old, new = b"o" * 1_000_000, b"n" * 1_000_000
    store.write("a", old)
    done = threading.Event()
    seen: set[bytes] = set()

    def look() -> None:
        while not done.is_set():
            seen.add(store.read("a"))

    reader = threading.Thread(target=look)
    reader.start()
    for content in [new, old] * 20:
        store.write("a", content)
    done.set()
    reader.join(timeout=30)
    assert seen <= {old, new}


def test_what_others_remove_meanwhile_disturbs_neither_lists_nor_writes(store: FolderStore) -> None:
    """A trial prunes its checkpoints, and with them their folders, while others look and save."""
    ended = threading.Event()

    def come_and_go(number: int) -> None:
        while not ended.is_set():
            for epoch in range(5):
                store.write(f"sweep/{number}/epoch-{epoch}/weights", b"x")
            for epoch in range(5):
                store.delete(f"sweep/{number}/epoch-{epoch}/weights")

    with ThreadPoolExecutor(2) as executor:
        working = [executor.submit(come_and_go, 0) for _ in range(2)]
        try:
            for _ in range(300):
                store.sizes("sweep")
        finally:
            ended.set()
    for each in working:
        each.result()


def test_what_is_no_file_of_the_store_is_neither_listed_nor_read(tmp_path: Path) -> None:
    """Another who may write there must not have us publish our files, or wait for ever."""
    store = FolderStore(tmp_path / "store")
    store.write("cnn-1/sweep.json", b"{}")
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "store/cnn-1/report").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "store/cnn-1/result.json")
    assert list(store.sizes()) == ["cnn-1/sweep.json"]
    for key in ("cnn-1/report", "cnn-1/result.json"):
        with pytest.raises(StorageError):
            store.read(key)


def test_what_others_have_named_oddly_is_no_object(tmp_path: Path) -> None:
    """It could be neither copied nor deleted, and the sweep around it neither."""
    store = FolderStore(tmp_path)
    store.write("cnn-1/sweep.json", b"{}")
    (tmp_path / "cnn-1" / "a\\b.txt").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/cnn-1/caf\xe9.txt")).touch()
    assert list(store.sizes()) == list(store.sizes("cnn-1")) == ["cnn-1/sweep.json"]


def test_only_a_folder_of_anothers_beside_the_sweeps_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, who runs the tests of some, may look into any."""
    denied = ["lost+found"]

    def walk(start: Path, onerror: Callable[[OSError], None]) -> Iterator[object]:
        onerror(PermissionError(errno.EACCES, "Permission denied", str(tmp_path / denied[0])))
        return iter(())

    monkeypatch.setattr(os, "walk", walk)
    assert FolderStore(tmp_path).sizes() == {}
    for denied[0], prefix in (("cnn-1/trials", ""), ("cnn-1/trials", "cnn-1"), ("cnn-1", "cnn-1")):
        with pytest.raises(StorageError, match="Permission denied"):
            FolderStore(tmp_path).sizes(prefix)


def test_the_store_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    store = FolderStore(tmp_path / "store")
    store.write("cnn-1/sweep.json", b"{}")
    assert (store.folders(), list(store.sizes()), store.read("cnn-1/sweep.json")) == (
        ["cnn-1"],
        ["cnn-1/sweep.json"],
        b"{}",
    )


def test_a_linked_folder_leads_nowhere(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.write("cnn-1/sweep.json", b"{}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/secret").write_text("mine")
    (tmp_path / "store/cnn-1/report").symlink_to(tmp_path / "mine")
    calls: list[Callable[[], object]] = [
        lambda: store.read("cnn-1/report/secret"),
        lambda: store.write("cnn-1/report/secret", b"theirs"),
        lambda: store.delete("cnn-1/report/secret"),
        lambda: store.sizes("cnn-1/report"),
    ]
    for call in calls:
        with pytest.raises(RecordError, match=r"'cnn-1/report' in folder .* is a symbolic link"):
            call()
    assert (tmp_path / "mine/secret").read_text() == "mine"
    assert list(store.sizes("cnn-1")) == ["cnn-1/sweep.json"]


def test_an_object_that_replaces_a_link_leaves_what_that_names(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.write("a", b"")
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "store/b").symlink_to(tmp_path / "mine")
    store.write("b", b"new")
    assert (store.read("b"), (tmp_path / "mine").read_text()) == (b"new", "mine")


def test_a_record_larger_than_any_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "MAX_BYTES", {".json": 10})
    store = FolderStore(tmp_path)
    for key in ("cnn-1/x.json", "cnn-1/model.safetensors"):
        store.write(key, bytes(11))
    store.write("cnn-1/y.json", bytes(10))
    with pytest.raises(RecordError, match=r"x\.json"):
        store.read("cnn-1/x.json")
    assert (len(store.read("cnn-1/y.json")), len(store.read("cnn-1/model.safetensors"))) == (10, 11)
