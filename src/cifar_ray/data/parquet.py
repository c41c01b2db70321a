"""Reads the Parquet layout in which the Hugging Face hub keeps CIFAR-10."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray
from PIL import Image

from cifar_ray.data.image_set import check_labels
from cifar_ray.errors import DataError
from cifar_ray.statistics import CLASSES
from cifar_ray.storage.object_store import ObjectStore

IMAGE_COLUMNS = ("img", "image")
NUM_THREADS = 4
"""Pillow decodes without Python's lock."""
ROWS_PER_TASK = 500
"""A task for every image would cost as much as decoding it."""

_SHARD = re.compile(r"(?:^|/)(?P<part>train|test)-[^/]*\.parquet$")


def has_parquet(keys: Sequence[str]) -> bool:
    """Whether any of the keys is a shard of the layout."""
    return any(_SHARD.search(key) for key in keys)


def read_parquet(
    store: ObjectStore, keys: Sequence[str], part: Literal["train", "test"]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels (N,); DataError that names the file, and the row, at fault."""
    shards = [key for key in sorted(keys) if (match := _SHARD.search(key)) and match["part"] == part]
    if not shards:
        raise DataError(f"{store.uri} holds no {part}-*.parquet", "download the data set again, whole")
    tables = [_read_shard(store, key) for key in shards]
    return np.concatenate([images for images, _ in tables]), np.concatenate([labels for _, labels in tables])


def _read_shard(store: ObjectStore, key: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    where = f"{store.uri}/{key}"
    try:
        table = pyarrow.parquet.read_table(pa.BufferReader(store.read(key)))
    except (pa.ArrowException, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"{where} is truncated or damaged: {reason}", "download it again, whole") from error
    column = next((name for name in IMAGE_COLUMNS if name in table.column_names), None)
    if column is None or "label" not in table.column_names:
        raise DataError(f"{where}: columns {', '.join(table.column_names)}", "it needs img (or image) and label")
    labels = _read_labels(table.column("label"), where)
    structs = table.column(column).to_pylist()
    images = np.empty((len(structs), 32, 32, 3), dtype=np.uint8)

    def decode_from(start: int) -> None:
        for row, struct in enumerate(structs[start : start + ROWS_PER_TASK], start):
            images[row] = _decode(struct, row, where)

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        # in order, so that the first row at fault is the one that is named
        for _ in pool.map(decode_from, range(0, len(structs), ROWS_PER_TASK)):
            pass
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels


def _read_labels(column: pa.ChunkedArray, where: str) -> NDArray[np.int64]:
    if not pa.types.is_integer(column.type):
        raise DataError(f"{where}: labels are {column.type}, not whole numbers")
    for row, label in enumerate(column.to_pylist() if column.null_count else ()):
        if label is None:
            raise DataError(f"{where}, row {row}: no label")
    labels: NDArray[np.int64] = column.to_numpy().astype(np.int64)
    check_labels(labels, len(CLASSES), where)
    return labels


def _decode(struct: Any, row: int, where: str) -> NDArray[np.uint8]:
    content = struct.get("bytes") if isinstance(struct, dict) else struct
    if not isinstance(content, bytes):
        raise DataError(f"{where}, row {row}: no image bytes")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            size = image.size
            # the header's size is checked before anything is decoded
            pixels = np.asarray(image.convert("RGB")) if size == (32, 32) else None
    except Exception as error:  # a damaged image raises nearly anything
        raise DataError(f"{where}, row {row}: the image cannot be decoded: {error}") from error
    if pixels is None:
        raise DataError(f"{where}, row {row}: the image is {size[0]}x{size[1]}, not 32x32")
    return pixels
