"""The object store as the rest of the package sees it: bytes under keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from cifar_ray.errors import ConfigurationError, RecordError
from cifar_ray.settings import S3Settings, check_no_user, read_settings

BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
MAX_BYTES = {".json": 16 * 2**20, ".jsonl": 512 * 2**20}
"""Largest records, by the suffix of the key: ten times those of a sweep of 10,000 trials of ten epochs each."""


class ObjectStore(Protocol):
    """A prefix of an S3 bucket or a folder. Keys are relative, with `/` between their parts.

    Every method raises StorageError where the store refuses, StoreUnavailableError where it does not answer.
    """

    @property
    def uri(self) -> str:
        """Names the store: `s3://bucket/prefix` or an absolute path."""

    def read(self, key: str) -> bytes:
        """The object's bytes; ObjectNotFoundError where there is none."""

    def write(self, key: str, content: bytes) -> None:
        """Put the object whole; a reader never sees half of it."""

    def delete(self, key: str) -> None:
        """Remove the object; no error where there is none."""

    def keys(self, prefix: str = "") -> list[str]:
        """All keys in the folder `prefix` and below it, sorted."""
        return list(self.sizes(prefix))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The bytes of each object, by the same keys."""

    def folders(self) -> list[str]:
        """The names of the top folders, sorted."""

    def hurried(self) -> ObjectStore:
        """The same objects, for calls that are of no use late: one that hangs fails within seconds."""
        return self


def open_store(uri: str, s3: S3Settings | None = None, *, has_links: bool = False) -> ObjectStore:
    """The store that `uri` names; ConfigurationError where it is malformed. Nothing is contacted.

    A folder that `has_links` may hold symbolic links, as downloaded data sets do.
    """
    # boto3 takes 0.3 s to load and a folder does not need it
    from cifar_ray.storage.folder import FolderStore  # noqa: PLC0415

    check_no_user("storage or data", uri)
    scheme, separator, rest = uri.partition("://")
    # a typing error, or what pathlib makes of a URI: its objects would go to a folder of the working directory
    has_lost_slash = "s3:" in uri.split("/") and not separator
    if not uri.strip() or not _is_encodable(uri) or has_lost_slash:
        raise ConfigurationError(f"storage {uri!r} is empty or malformed", "take s3://bucket/prefix or a folder")
    if not separator:
        try:
            return FolderStore(Path(uri).expanduser().absolute(), has_links=has_links)
        except (RuntimeError, FileNotFoundError) as error:
            raise ConfigurationError(f"storage {uri!r}: {error}", "take s3://bucket/prefix or a folder") from error
    if scheme != "s3":
        raise ConfigurationError(f"storage {uri!r}: unknown scheme {scheme!r}", "take s3://bucket/prefix or a folder")
    bucket, _, prefix = rest.partition("/")
    if not BUCKET.fullmatch(bucket):
        raise ConfigurationError(
            f"storage {uri!r}: {bucket!r} is no bucket name",
            "3 to 63 lower-case letters, digits, dots, dashes and underscores: s3://bucket/prefix",
        )
    parts = prefix.strip("/").split("/") if prefix.strip("/") else []
    if any(part in ("", ".", "..") for part in parts):
        raise ConfigurationError(f"storage {uri!r}: malformed prefix {prefix!r}", "take s3://bucket/prefix")
    from cifar_ray.storage.s3 import S3Store  # noqa: PLC0415

    return S3Store(bucket, "/".join(parts), s3 or read_settings().s3)


def max_bytes(key: str) -> int | None:
    """Of the largest record of such a key; None where it is none of a record."""
    return MAX_BYTES.get(Path(key).suffix)


def check_size(key: str, num_bytes: int, uri: str) -> None:
    """RecordError where no record of such a key is that large: each look at a store reads its records whole."""
    most = max_bytes(key)
    if most is not None and num_bytes > most:
        raise RecordError(
            f"{key!r} in {uri} has {num_bytes / 2**20:.0f} MiB, and a record at most {most // 2**20}",
            "it is damaged, or no record: see who has put it there",
        )


def check_key(key: str) -> str:
    """`key`, or ConfigurationError where it would leave the store's prefix."""
    if not is_key(key):
        raise ConfigurationError(f"object key {key!r} is malformed")
    return key


def is_key(text: str) -> bool:
    """Whether it may be a key: listings leave out what others have put there under a name that is none."""
    is_climbing = any(part in ("", ".", "..") for part in text.split("/"))
    return not is_climbing and "\\" not in text and _is_encodable(text)


def _is_encodable(text: str) -> bool:
    """Whether a file system and S3 can hold the text: UTF-8 without NUL."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
