from pathlib import Path

import pytest

from cifar_ray.errors import ObjectNotFoundError, StorageError, StoreUnavailableError
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


@pytest.mark.parametrize("says", [StorageError, StoreUnavailableError])
def test_a_store_that_does_not_say_what_is_absent_is_refused(tmp_path: Path, says: type[StorageError]) -> None:
    """Any read of a record may find none; a store that is away for a moment is no such one."""

    class Secretive(FolderStore):
        def read(self, key: str) -> bytes:
            try:
                return super().read(key)
            except ObjectNotFoundError as error:
                raise says("GetObject: AccessDenied") from error

    with pytest.raises(says, match="GetObject: AccessDenied") as caught:
        check_write_read_delete(Secretive(tmp_path))
    assert ("s3:ListBucket" in str(caught.value.hint)) == (says is StorageError)
