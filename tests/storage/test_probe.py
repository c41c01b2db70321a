from pathlib import Path

import pytest

from cifar_ray.errors import StorageError
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.probe import check_write_read_delete


def test_a_store_that_gives_back_other_bytes_is_none(tmp_path: Path) -> None:
    """As one behind a cache, or a proxy that answers everything."""

    class Other(FolderStore):
        def read(self, key: str) -> bytes:
            return super().read(key)[::-1]

    check_write_read_delete(FolderStore(tmp_path))
    with pytest.raises(StorageError, match="gave back other bytes"):
        check_write_read_delete(Other(tmp_path))
    assert FolderStore(tmp_path).keys() == []
