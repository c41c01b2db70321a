"""An object store in a folder."""

from __future__ import annotations

import functools
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cifar_ray.errors import ObjectNotFoundError, RecordError, StorageError
from cifar_ray.storage.object_store import ObjectStore, check_key, check_size, is_key, max_bytes

PARTIAL = ".partial-"
"""Prefix of files that are still being written; no key of the layout starts with it."""
MAX_TRIES = 20
"""Tries to write a file whose empty folder a concurrent delete may remove."""


class FolderStore(ObjectStore):
    """Objects as files below `root`, which is made on the first write."""

    def __init__(self, root: Path, *, has_links: bool = False) -> None:
        """Links below `root` may lead out of a store that others write to: they are refused unless `has_links`."""
        self._root = root
        self._has_links = has_links

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    def read(self, key: str) -> bytes:
        """The file's bytes."""
        with self._translated("read", key):
            path = self._path(key)
            if path.is_symlink() and not self._has_links:
                raise self._odd(key, "a symbolic link")
            with open(path, "rb", opener=self._open) as file:
                found = os.fstat(file.fileno())
                # reading a pipe may never end
                if not stat.S_ISREG(found.st_mode):
                    raise self._odd(key, "no file")
                check_size(key, found.st_size, self.uri)
                return file.read()

    def write(self, key: str, content: bytes) -> None:
        """Write beside the target, then rename: a reader sees the old file or the whole new one.

        A record is as whole after a loss of power, which costs about a millisecond. Checkpoints have digests.
        """
        with self._translated("write", key):
            path = self._path(key)
            partial = path.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
            try:
                _write_beside(partial, content)
                if max_bytes(key) is not None:
                    _sync(partial)
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        """Remove the file, and the folders that it leaves empty."""
        with self._translated("delete", key):
            path = self._path(key)
            path.unlink(missing_ok=True)
        with suppress(OSError):
            for folder in self._folders_of(path):
                folder.rmdir()

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """All files below `prefix`; one that is removed meanwhile may be missing."""
        found = {}
        with self._translated("list", prefix):
            start = self._path(prefix) if prefix else self._root
            if prefix and start.is_symlink() and not self._has_links:
                raise self._odd(prefix, "a symbolic link")
            skip_or_raise = functools.partial(_raise_unless_gone, None if prefix else self._root)
            # not rglob, which fails if a folder is removed meanwhile
            for folder, _, names in os.walk(start, onerror=skip_or_raise):
                for path in (Path(folder, name) for name in names if not name.startswith(PARTIAL)):
                    with suppress(FileNotFoundError):
                        what = path.stat() if self._has_links else path.lstat()
                        if stat.S_ISREG(what.st_mode):
                            found[path.relative_to(self._root).as_posix()] = what.st_size
        return {key: found[key] for key in sorted(found) if is_key(key)}

    def folders(self) -> list[str]:
        """The folders directly below the root."""
        with self._translated("list", ""):
            found = self._root.iterdir() if self._root.exists() else ()
            return sorted(path.name for path in found if path.is_dir() and (self._has_links or not path.is_symlink()))

    def _path(self, key: str) -> Path:
        """The object's path; RecordError where a folder on the way is a link."""
        path = self._root / check_key(key)
        if not self._has_links:
            for folder in self._folders_of(path):
                if folder.is_symlink():
                    raise self._odd(folder.relative_to(self._root).as_posix(), "a symbolic link")
        return path

    def _folders_of(self, path: Path) -> Sequence[Path]:
        """The folders that an object is in, innermost first, without the root."""
        return path.parents[: len(path.relative_to(self._root).parts) - 1]

    def _open(self, path: str, flags: int) -> int:
        return os.open(path, flags | os.O_NONBLOCK | (0 if self._has_links else os.O_NOFOLLOW))

    def _odd(self, key: str, what: str) -> RecordError:
        return RecordError(
            f"{key!r} in folder {self.uri} is {what}", "see who has put it there, or copy it there whole"
        )

    @contextmanager
    def _translated(self, call: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # a write finds no folder where none can be made, as below /proc
            if isinstance(error, FileNotFoundError) and call != "write":
                raise ObjectNotFoundError(f"no object {key!r} in {self.uri}") from error
            reason = error.strerror or str(error)
            hint = "check the folder's path, rights and free space, or set CIFAR_RAY_STORAGE"
            raise StorageError(f"cannot {call} {key!r} in folder {self.uri}: {reason}", hint) from error


def _write_beside(partial: Path, content: bytes) -> None:
    """Write a file and its folders, which a concurrent delete may remove as long as they are empty."""
    for number in range(1, MAX_TRIES + 1):
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
        except (FileNotFoundError, FileExistsError):
            # mkdir may find a folder that is gone the next moment
            if number == MAX_TRIES:
                raise
        else:
            return


def _sync(path: Path) -> None:
    """Have the disk hold the content before a name does."""
    with path.open("ab") as file:
        os.fsync(file.fileno())


def _raise_unless_gone(root: Path | None, error: OSError) -> None:
    """Skip what `os.walk` cannot list if it is gone, no folder or, directly below `root`, not ours, as `lost+found`."""
    is_anothers = isinstance(error, PermissionError) and Path(error.filename).parent == root
    if not (is_anothers or isinstance(error, FileNotFoundError | NotADirectoryError)):
        raise error
