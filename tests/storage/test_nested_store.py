from pathlib import Path

import pytest

from cifar_ray.errors import ConfigurationError, ObjectNotFoundError
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.nested_store import NestedStore
from cifar_ray.storage.object_store import ObjectStore, open_store


def test_a_folder_is_a_store_of_its_own(tmp_path: Path) -> None:
    outer = FolderStore(tmp_path)
    nested = NestedStore(outer, "a")
    nested.write("b/c", b"12")
    nested.write("e", b"5")
    outer.write("other", b"3")
    outer.write("ab/d", b"4")
    assert outer.sizes("a") == {"a/b/c": 2, "a/e": 1}
    assert (nested.keys(), nested.sizes("b"), nested.folders()) == (["b/c", "e"], {"b/c": 2}, ["b"])
    assert nested.read("b/c") == b"12"
    assert open_store(nested.uri).keys() == ["b/c", "e"], "the address that workers are given"
    nested.delete("b/c")
    nested.delete("e")
    with pytest.raises(ObjectNotFoundError):
        nested.read("b/c")
    assert outer.keys() == ["ab/d", "other"]


def test_its_hurried_one_is_in_the_stores_hurried_one(tmp_path: Path) -> None:
    class Slow(FolderStore):
        def hurried(self) -> ObjectStore:
            return FolderStore(tmp_path)

        def read(self, key: str) -> bytes:
            pytest.fail("it has patience")

    NestedStore(FolderStore(tmp_path), "a").write("b", b"1")
    assert NestedStore(Slow(tmp_path), "a").hurried().read("b") == b"1"


@pytest.mark.parametrize("key", ["../other", "", "/x"])
def test_nothing_leaves_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigurationError, match="malformed"):
        NestedStore(FolderStore(tmp_path), "a").write(key, b"")
