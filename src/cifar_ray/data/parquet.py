"""Reads the Parquet layout in which the Hugging Face hub keeps CIFAR-10."""

from __future__ import annotations

import io
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray
from PIL import Image

from cifar_ray.cifar10 import CLASSES, SIZE
from cifar_ray.data.image_set import Part, check_labels
from cifar_ray.errors import DataError, first_line
from cifar_ray.storage.object_store import ObjectStore

IMAGE_COLUMNS = ("img", "image")
NUM_THREADS = 4
"""Pillow releases Python's GIL while it decodes."""
ROWS_PER_TASK = 500
"""A task for every image would cost as much as decoding it."""
MAX_ROWS = 1_000_000
"""Of a part, in all its files: a few kilobytes may claim to hold any number."""
MAX_IMAGE_BYTES = 1 << 16
"""Of a 32x32 image file: a column that repeats one value can hold it any number of times in a few bytes."""

_TOO_LARGE = f"an image of 32x32 has at most {MAX_IMAGE_BYTES:,} bytes"
_AGAIN = "download it again, whole, or write it anew by pyarrow's defaults: not every encoding is read"
_SPELLINGS = {"plane": "airplane", "car": "automobile"}
"""Other names for CIFAR-10's classes."""
_SHARD = re.compile(
    r"(?P<folder>(?:.*/)?)(?P<part>train|test)-(?:(?P<index>[0-9]+)-of-(?P<count>[0-9]+))?[^/]*\.parquet"
)


def has_parquet(keys: Sequence[str], part: Part | None = None) -> bool:
    """Whether any of the keys is a shard in this layout, of that part or, by default, of any."""
    return any(part in (None, match["part"]) for match in map(_SHARD.fullmatch, keys) if match)


def read_parquet(store: ObjectStore, keys: Sequence[str], part: Part) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels (N,); DataError that names the file, and the row, at fault."""
    shards = [match for key in sorted(keys) if (match := _SHARD.fullmatch(key)) and match["part"] == part]
    if not shards:
        raise DataError(f"{store.uri} holds no {part}-*.parquet", "download the data set again, whole")
    _check_whole(shards, store.uri)
    tables: list[tuple[NDArray[np.uint8], NDArray[np.int64]]] = []
    for match in shards:
        max_rows = MAX_ROWS - sum(len(labels) for _, labels in tables)
        tables.append(_read_shard(store, match[0], max_rows))
    return np.concatenate([images for images, _ in tables]), np.concatenate([labels for _, labels in tables])


def _check_whole(shards: Sequence[re.Match[str]], uri: str) -> None:
    """Refuse a part with missing shards, as after an interrupted copy, or with the same shard twice."""
    names = [match[0].removeprefix(match["folder"]) for match in shards]
    if twice := next((name for name in names if names.count(name) > 1), None):
        folders = [f"{uri}/{match['folder']}" for name, match in zip(names, shards, strict=True) if name == twice]
        raise DataError(f"{uri} holds {twice} more than once", f"take one of {', '.join(folders)}")
    numbers = sorted((int(match["count"]), int(match["index"])) for match in shards if match["index"])
    if not numbers:
        return
    count, first = numbers[0]
    is_whole = len(shards) == len(numbers) == count and first in (0, 1)
    if not is_whole or numbers != [(count, index) for index in range(first, first + count)]:
        raise DataError(
            f"{uri} holds {', '.join(names[:8])}: not each of {count} shards once", "download it again, whole"
        )


def _read_shard(store: ObjectStore, key: str, max_rows: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    where = f"{store.uri}/{key}"
    try:
        return _read_table(store.read(key), where, max_rows)
    except (pa.ArrowException, OSError, ValueError) as error:  # a damaged name or size is of no type of Arrow's
        raise DataError(f"{where} is truncated or damaged: {first_line(error)}", _AGAIN) from error


def _read_table(content: bytes, where: str, max_rows: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read in batches of rows: if a column repeats one value, all rows at once may be far larger than the file."""
    file = pyarrow.parquet.ParquetFile(pa.BufferReader(content))
    schema, num_rows = file.schema_arrow, file.metadata.num_rows
    column = next((name for name in IMAGE_COLUMNS if name in schema.names), None)
    if column is None or [schema.names.count(name) for name in (column, "label")] != [1, 1]:
        raise DataError(f"{where}: columns {', '.join(schema.names)}", "it needs img (or image) and label, once each")
    if not pa.types.is_integer(label_type := schema.field("label").type):
        raise DataError(f"{where}: labels are {label_type}, not whole numbers")
    _check_classes(schema.metadata or {}, where)
    if num_rows > max_rows:
        raise DataError(f"{where}: {num_rows:,} rows", f"training or test images may be {MAX_ROWS:,} in all")
    leaf = f"{column}.bytes" if pa.types.is_struct(schema.field(column).type) else column
    leaves = map(file.schema.column, range(len(file.schema)))
    if (leaf, "BYTE_ARRAY") not in [(each.path, each.physical_type) for each in leaves]:
        raise DataError(f"{where}: {column} holds no image bytes", "it needs PNG or JPEG files, or a struct with bytes")
    for group in map(file.metadata.row_group, range(file.num_row_groups)):
        (part,) = (each for each in map(group.column, range(group.num_columns)) if each.path_in_schema == leaf)
        if part.total_uncompressed_size > (group.num_rows + 1) * MAX_IMAGE_BYTES:
            raise DataError(f"{where}: {column} unpacks to {part.total_uncompressed_size:,} bytes", _TOO_LARGE)
    # as a dictionary, so that a value that many rows share is held once
    file = pyarrow.parquet.ParquetFile(pa.BufferReader(content), read_dictionary=[leaf])
    images, labels = np.empty((num_rows, SIZE, SIZE, 3), dtype=np.uint8), np.empty(num_rows, dtype=np.int64)

    def decode(rows: range, contents: Sequence[Any]) -> None:
        for row, content in zip(rows, contents, strict=True):
            images[row] = _decode(content, row, where)

    start = 0
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        # one row group at a time: Arrow cannot join the dictionaries of several groups inside a struct
        for batch in itertools.chain.from_iterable(
            file.iter_batches(NUM_THREADS * ROWS_PER_TASK, row_groups=[group], columns=[leaf, "label"])
            for group in range(file.num_row_groups)
        ):
            rows = range(start, start := start + batch.num_rows)
            if start > num_rows:
                break
            labels[rows.start : rows.stop] = _read_labels(batch.column("label"), rows.start, where)
            contents = _read_contents(batch.column(column), where)
            step = max(1, math.ceil(len(rows) / NUM_THREADS))
            tasks = [slice(first, first + step) for first in range(0, len(rows), step)]
            # in order, so that the error names the first row at fault
            for _ in pool.map(decode, [rows[each] for each in tasks], [contents[each] for each in tasks]):
                pass
    if start != num_rows:
        raise DataError(
            f"{where} is damaged: it has other rows than the {num_rows:,} that it says", "download it again"
        )
    check_labels(labels, len(CLASSES), where)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels


def _check_classes(metadata: Mapping[bytes, bytes], where: str) -> None:
    """Refuse a file whose Hugging Face metadata names other classes: another data set may look like this one."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"]["label"]["names"]
        is_ours = [_SPELLINGS.get(each, each) for each in (str(name).lower() for name in names)] == list(CLASSES)
    except (KeyError, TypeError, ValueError, RecursionError):
        return  # no such metadata, or in another form
    if not is_ours:
        raise DataError(
            f"{where}: its classes are {json.dumps(names)[:200]}",
            f"CIFAR-10's are {', '.join(CLASSES)}, in this order",
        )


def _read_labels(column: pa.Array, start: int, where: str) -> NDArray[np.int64]:
    for row, label in enumerate(column.to_pylist() if column.null_count else (), start):
        if label is None:
            raise DataError(f"{where}, row {row}: no label")
    labels: NDArray[np.int64] = column.to_numpy().astype(np.int64)
    return labels


def _read_contents(column: pa.Array, where: str) -> list[Any]:
    """The rows' image files, each checked in size before it is copied for every row that has it."""
    if pa.types.is_struct(column.type):
        (column,) = column.flatten()
    longest = pyarrow.compute.max(pyarrow.compute.binary_length(column.dictionary)).as_py()
    if longest is not None and longest > MAX_IMAGE_BYTES:
        raise DataError(f"{where}: an image of {longest:,} bytes", _TOO_LARGE)
    contents: list[Any] = column.to_pylist()
    return contents


def _decode(content: Any, row: int, where: str) -> NDArray[np.uint8]:
    if not isinstance(content, bytes):
        raise DataError(f"{where}, row {row}: no image bytes")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            size, mode = image.size, image.mode
            # the header's size is checked before anything is decoded
            pixels = np.asarray(image.convert("RGB")) if size == (SIZE, SIZE) else None
    except Exception as error:  # a damaged image raises nearly anything
        raise DataError(f"{where}, row {row}: the image cannot be decoded: {error}") from error
    if mode.startswith("I"):  # Pillow clips it at white
        raise DataError(f"{where}, row {row}: the image is grey of 16 bits a pixel", "save it with 8 bits a channel")
    if pixels is None:
        raise DataError(f"{where}, row {row}: the image is {size[0]}x{size[1]}, not 32x32")
    return pixels
