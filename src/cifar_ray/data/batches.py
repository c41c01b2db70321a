"""Reads `cifar-10-batches-py`, the pickled batches that torchvision and the official archive hold."""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_ray.cifar10 import CLASSES, IMAGE_SHAPE
from cifar_ray.data.image_set import Part, check_labels
from cifar_ray.errors import DataError, ObjectNotFoundError, first_line
from cifar_ray.plain_pickle import check_pickle
from cifar_ray.storage.object_store import ObjectStore

FOLDER = "cifar-10-batches-py"
FILES: Mapping[str, Sequence[str]] = {
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
    "test": ("test_batch",),
}
NUM_BYTES = math.prod(IMAGE_SHAPE)
_FORM = (
    f"a batch is a dictionary with data, a table of bytes, {NUM_BYTES} a row, and labels, a list of Python's integers"
)
_NUMBERS = re.compile("[ui][1248]|f[48]")


class _Number:
    """Replaces numpy's dtype, to which a file could give fields that numpy takes for pointers."""

    def __init__(self, name: str | bytes, *_: object) -> None:
        text = name.decode("latin1") if isinstance(name, bytes) else name
        if not _NUMBERS.fullmatch(text):
            raise pickle.UnpicklingError(f"has an array of {text[:40]!r}, which no batch needs")
        self.dtype = np.dtype(f"<{text}")

    def __setstate__(self, state: Sequence[Any]) -> None:
        """Takes numpy's state of such a dtype, whose second value is the byte order."""
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")


class _Array:
    """Replaces numpy's array, which could be larger than its file: this one is a view of the file's bytes."""

    values: NDArray[Any]

    def __setstate__(self, state: Sequence[Any]) -> None:
        """Takes numpy's state of an array."""
        _, shape, kind, is_transposed, content = state
        self.values = np.frombuffer(content, kind.dtype).reshape(shape, order="F" if is_transposed else "C")


def _reconstruct(*_: object) -> _Array:
    """Replaces numpy's function that creates an empty array, to be filled by its state."""
    return _Array()


def _from_buffer(content: object, kind: _Number, shape: object, order: str) -> _Array:
    """Replaces numpy's function by which protocol 5 makes an array."""
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", content))
    return array


_ALLOWED = {
    # where numpy's reconstruction has lived over the years
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Number,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles plain values and arrays of numbers, and refuses whatever else a file asks for.

    It takes memory in proportion to the file.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._num_left = len(content)
        # two arrays may share their dtype
        check_pickle(content, may_repeat={"REDUCE"})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"asks for {module}.{name}, which no batch needs") from None

    def _encode(self, text: str, encoding: str | bytes) -> bytes:
        """Replaces `_codecs.encode`, with which Python 3 writes bytes into a pickle that Python 2 can read.

        Any codec but latin1 is refused, since some of them decompress, and so are more bytes than the file has.
        """
        if encoding not in ("latin1", b"latin1"):
            # named only if it is text: a file may put here something whose text would be long
            codec = encoding if isinstance(encoding, str) else type(encoding).__name__
            raise pickle.UnpicklingError(f"asks for the codec {codec[:40]!r}, which no batch needs")
        self._num_left -= len(text)
        if self._num_left < 0:
            raise pickle.UnpicklingError("unpacks to more than it is")
        return text.encode("latin1")


def find_batches(keys: Sequence[str]) -> str | None:
    """The prefix of the folder that holds the batches among `keys`, "" for the top; None where none does."""
    for prefix in ("", f"{FOLDER}/"):
        if any(f"{prefix}{name}" in keys for names in FILES.values() for name in names):
            return prefix
    return None


def read_batches(store: ObjectStore, prefix: str, part: Part) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels (N,); DataError that names the file, and the row, at fault."""
    _check_names(store, f"{prefix}batches.meta")
    batches = [_read_batch(store, f"{prefix}{name}") for name in FILES[part]]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def _check_names(store: ObjectStore, key: str) -> None:
    """Refuse batches whose classes have other names, if a file says so: another data set may look like this one."""
    where = f"{store.uri}/{key}"
    try:
        content = store.read(key)
    except ObjectNotFoundError:
        return
    try:
        names = [name.decode() if isinstance(name, bytes) else name for name in _label_names(content)]
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DataError(f"{where} is truncated or damaged: {first_line(error)}", "unpack the archive again") from error
    if names != [*CLASSES]:
        raise DataError(f"{where} names other classes than CIFAR-10's: {', '.join(map(str, names))[:200]}")


def _label_names(content: bytes) -> list[object]:
    names = _column(_ArrayUnpickler(content).load(), "label_names")
    if not isinstance(names, list | tuple):
        raise TypeError("its label_names are no list")
    return [*names]


def _read_batch(store: ObjectStore, key: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    where = f"{store.uri}/{key}"
    try:
        content = store.read(key)
    except ObjectNotFoundError as error:
        raise DataError(f"{where} is missing", "unpack the archive again, whole") from error
    try:
        batch = _ArrayUnpickler(content).load()
        images, labels = (_to_numpy(_column(batch, name)) for name in ("data", "labels"))
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DataError(
            f"{where} is truncated or damaged: {first_line(error)}", f"unpack the archive again, whole; {_FORM}"
        ) from error
    if images.dtype != np.uint8 or images.ndim != 2:
        raise DataError(f"{where}: its data are no table of bytes", _FORM)
    if labels.ndim != 1 or images.shape != (len(labels), NUM_BYTES):
        raise DataError(
            f"{where}: {images.shape[0]} images of {images.shape[1]} bytes and {labels.size} labels",
            f"an image of 32x32 RGB has {NUM_BYTES} bytes, and every image one label",
        )
    if labels.dtype.kind not in "iu":
        raise DataError(f"{where}: its labels are {labels.dtype}, not whole numbers")
    labels = labels.astype(np.int64)
    check_labels(labels, len(CLASSES), where)
    return images.reshape(-1, *IMAGE_SHAPE), labels


def _column(batch: Mapping[str | bytes, object], name: str) -> object:
    """That value of the file's, which Python 2 named in bytes."""
    key = name if name in batch else name.encode()
    if key not in batch:
        raise TypeError(f"it has no {name}")
    return batch[key]


def _to_numpy(values: object) -> NDArray[Any]:
    """The file's array of numbers, or its list of integers, as a numpy array."""
    if isinstance(values, _Array):
        return values.values
    if isinstance(values, list | tuple) and all(type(each) is int for each in values):
        return np.array(values, dtype=np.int64)
    raise TypeError("its labels are no whole numbers, or its data no array")
