"""Checks that a store can write, read and delete an object, from the node that it runs on."""

from __future__ import annotations

import uuid

from cifar_ray.errors import ObjectNotFoundError, StorageError, StoreUnavailableError
from cifar_ray.storage.object_store import ObjectStore

FOLDER = ".probe"


def check_write_read_delete(store: ObjectStore) -> None:
    """Write, read and delete a small object, and miss another; StorageError that names the call that failed."""
    key = f"{FOLDER}/{uuid.uuid4().hex}"
    content = uuid.uuid4().bytes
    # listed first, as some servers create a missing bucket on a write: a mistyped one would go unnoticed
    store.keys(FOLDER)
    store.write(key, content)
    try:
        if store.read(key) != content:
            raise StorageError(f"{store.uri} gave back other bytes than were written")
    finally:
        store.delete(key)
    _check_absence(store)


def _check_absence(store: ObjectStore) -> None:
    try:
        store.read(f"{FOLDER}/{uuid.uuid4().hex}")
    except ObjectNotFoundError:
        return
    except StoreUnavailableError:
        raise
    except StorageError as error:
        raise StorageError(
            f"{error.message}, of an object that is not there",
            "allow s3:ListBucket on the whole bucket, not on the prefix alone: some stores refuse this otherwise",
        ) from error


def leave_marker(store: ObjectStore) -> str:
    """Write an object for other nodes to find; returns its key."""
    key = f"{FOLDER}/{uuid.uuid4().hex}"
    store.write(key, b"marker")
    return key


def check_marker(store: ObjectStore, key: str) -> None:
    """StorageError where the marker that another node left is not visible from here."""
    try:
        store.read(key)
    except ObjectNotFoundError as error:
        raise StorageError(
            f"{store.uri} is not the same store on every node",
            "a folder must be mounted on all nodes; else take s3://bucket/prefix",
        ) from error
