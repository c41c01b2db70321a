"""Single images and shards; whole data sets are read in test_sources."""

import io
import json
import struct
import time
import tracemalloc
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from cifar_ray.cifar10 import CLASSES
from cifar_ray.data import parquet
from cifar_ray.data.parquet import MAX_ROWS, has_parquet, read_parquet
from cifar_ray.errors import DataError
from cifar_ray.storage.folder import FolderStore


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


GREY = Image.fromarray(np.full((32, 32), 77, np.uint8))


def bomb(side: int = 4_500) -> bytes:
    """A PNG of 60 kB whose pixels fill 61 MB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * side)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def store_of(
    folder: Path, images: list[Any], labels: list[Any] | None = None, key: str = "train-0.parquet"
) -> FolderStore:
    table = pa.table({"img": [{"bytes": image, "path": ""} for image in images], "label": labels or [0] * len(images)})
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path, row_group_size=2)
    return FolderStore(folder)


def read(store: FolderStore) -> np.ndarray[Any, Any]:
    return read_parquet(store, store.keys(), "train")[0]


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (mode, kind)
        for kind, modes in {"PNG": ("L", "RGB", "RGBA", "P"), "JPEG": ("L", "RGB")}.items()
        for mode in modes
    ],
)
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, mode: str, kind: str) -> None:
    content = encode(GREY.convert(mode), kind)
    assert np.array_equal(read(store_of(tmp_path, [content])), np.full((1, 3, 32, 32), 77))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    content = bomb()
    store = store_of(tmp_path, [encode(GREY, "PNG"), content])
    started = time.process_time()
    with pytest.raises(DataError, match="row 1: the image is 4500x4500, not 32x32"):
        read(store)
    refused_s, started = time.process_time() - started, time.process_time()
    Image.open(io.BytesIO(content)).load()
    assert refused_s < (time.process_time() - started) / 2


@pytest.mark.parametrize(
    "image", [None, b"", b"GIF89a", encode(GREY, "GIF"), encode(GREY, "JPEG")[:200], encode(GREY, "PNG")[:-30]]
)
def test_what_is_no_image_is_refused_with_file_and_row(tmp_path: Path, image: bytes | None) -> None:
    good = encode(GREY, "PNG")
    with pytest.raises(DataError, match=r"train-0\.parquet, row 3: "):
        read(store_of(tmp_path, [good, good, good, image, good]))


def test_levels_that_would_be_clipped_are_refused(tmp_path: Path) -> None:
    deep = Image.fromarray(np.full((32, 32), 30_000, np.uint16))
    with pytest.raises(DataError, match=r"train-0\.parquet, row 0: the image is grey of 16 bits"):
        read(store_of(tmp_path, [encode(deep, "PNG")]))


def test_shards_in_folders_in_the_order_of_their_names(tmp_path: Path) -> None:
    images = [encode(Image.fromarray(np.full((32, 32), level, np.uint8)), "PNG") for level in range(4)]
    for number in (2, 0, 3, 1):
        store_of(tmp_path, [images[number]], [number], f"data/train-{number}.parquet")
    store_of(tmp_path, images, [9, 9, 9, 9], "data/test-0.parquet")
    store = store_of(tmp_path, images, [8, 8, 8, 8], "data/other-train-9.parquet")
    pixels, labels = read_parquet(store, store.keys(), "train")
    assert labels.tolist() == [0, 1, 2, 3]
    assert pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 3]


def test_labels_of_any_whole_number_type(tmp_path: Path) -> None:
    table = pa.table(
        {
            "image": [{"bytes": encode(GREY, "PNG"), "path": None}] * 2,
            "label": pa.array([3, 9], type=pa.uint8()),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "train-0.parquet")
    store = FolderStore(tmp_path)
    labels = read_parquet(store, store.keys(), "train")[1]
    assert (labels.tolist(), labels.dtype) == ([3, 9], np.dtype(np.int64))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([3, 10], "row 1: label 10 is out of range"),
        ([None, 1], "row 0: no label"),
        (["a", "b"], "labels are string"),
    ],
)
def test_what_is_no_label_is_refused_by_the_files_name(tmp_path: Path, labels: list[Any], says: str) -> None:
    with pytest.raises(DataError, match=rf"train-0\.parquet.* {says}"):
        read(store_of(tmp_path, [encode(GREY, "PNG")] * 2, labels))


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no train-\*\.parquet"):
        read(store_of(tmp_path, [encode(GREY, "PNG")], key="test-0.parquet"))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"no parquet at all"])
def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train-0.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"train-0\.parquet is truncated or damaged"):
        read(FolderStore(tmp_path))


def test_damage_inside_a_file_is_refused_by_name(tmp_path: Path) -> None:
    store = store_of(tmp_path, [encode(GREY, "PNG")] * 50)
    content = bytearray(store.read("train-0.parquet"))
    content[4:200] = bytes(196)
    store.write("train-0.parquet", bytes(content))
    with pytest.raises(DataError, match=r"train-0\.parquet"):
        read(store)


CLASS_LABEL = {"info": {"features": {"img": {"_type": "Image"}, "label": {"names": list(CLASSES)}}}}


def write_with_note(folder: Path, note: bytes) -> FolderStore:
    """As the hub's library writes a set's features beside its columns."""
    table = pa.table({"img": [{"bytes": encode(GREY, "PNG"), "path": None}], "label": [3]})
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"huggingface": note}), folder / "train-0.parquet")
    return FolderStore(folder)


@pytest.mark.parametrize(
    "names",
    [[str(digit) for digit in range(10)], CLASSES[::-1], CLASSES[:9], [], "cifar10", [*CLASSES[:9], {"\ud800": None}]],
    ids=["SVHN", "another order", "one less", "none", "no list", "no text"],
)
def test_labels_of_another_set_are_refused_by_name(tmp_path: Path, names: Any) -> None:
    note = json.dumps({"info": {"features": {"label": {"names": names}}}}).encode()
    with pytest.raises(DataError, match=r"train-0\.parquet: its classes are ") as caught:
        read(write_with_note(tmp_path, note))
    assert json.dumps(names) in caught.value.message
    assert "airplane, automobile, bird" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "note",
    [
        json.dumps(CLASS_LABEL).encode(),
        json.dumps(CLASS_LABEL).replace("airplane", "Plane").replace("automobile", "car").encode(),
        b"",
        b"\xff\xfe{",
        b"[" * 100_000,
        b"[]",
        b"null",
        b'{"info": []}',
        b'{"info": {"features": {"label": {"dtype": "int64"}}}}',
        b'{"info": {"features": {"label": {"names": null}}}}',
    ],
)
def test_a_note_of_cifar10s_classes_or_none_of_classes_is_no_hindrance(tmp_path: Path, note: bytes) -> None:
    assert len(read(write_with_note(tmp_path, note))) == 1


def test_only_shards_of_the_layout_count() -> None:
    assert has_parquet(["data/test-00000-of-00001.parquet"])
    assert not has_parquet(["train.parquet", "train-0.parquet.part", "my-train-0.parquet", "trainer-0.parquet"])


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (["train-00000-of-00005.parquet"], "not each of 5 shards once"),
        (["train-2-of-2.parquet", "train-1-of-2-a.parquet", "train-1-of-2-b.parquet"], "not each of 2 shards once"),
        (["a/train-00000-of-00001.parquet", "b/train-00000-of-00001.parquet"], "more than once"),
        (["train-0.parquet", "backup/train-0.parquet"], "train-0.parquet more than once"),
        (["train-0-of-1.parquet", "train-extra.parquet"], "train-extra.parquet: not each of 1"),
        (["train-1-of-99999999999.parquet"], "not each of 99999999999 shards"),
    ],
)
def test_a_part_of_which_shards_are_missing_or_there_twice_is_refused(
    tmp_path: Path, keys: list[str], says: str
) -> None:
    for key in keys:
        store = store_of(tmp_path, [encode(GREY, "PNG")], key=key)
    with pytest.raises(DataError, match=says):
        read(store)


@pytest.mark.parametrize("first", [0, 1])
def test_shards_are_read_in_their_order(tmp_path: Path, first: int) -> None:
    for number in (1, 0, 2):
        image = Image.fromarray(np.full((32, 32), number, np.uint8))
        key = f"data/{number}/train-0000{number + first}-of-00003-ab1.parquet"
        store = store_of(tmp_path, [encode(image, "PNG")], key=key)
    assert read(store)[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_a_damaged_name_is_refused_by_the_files_name(tmp_path: Path) -> None:
    content = store_of(tmp_path, [encode(GREY, "PNG")]).read("train-0.parquet")
    (tmp_path / "train-0.parquet").write_bytes(content.replace(b"bytes", b"by\xffes"))
    with pytest.raises(DataError, match=r"train-0\.parquet is truncated or damaged"):
        read(FolderStore(tmp_path))


def test_images_as_text_are_refused_by_the_files_name(tmp_path: Path) -> None:
    """As a writer leaves them that takes any bytes for UTF-8."""
    image = pa.array([encode(GREY, "PNG")], pa.binary())
    table = pa.table({"img": pa.Array.from_buffers(pa.string(), 1, image.buffers()), "label": [0]})
    pyarrow.parquet.write_table(table, tmp_path / "train-0.parquet")
    with pytest.raises(DataError, match=r"train-0\.parquet is truncated or damaged"):
        read(FolderStore(tmp_path))


@pytest.mark.parametrize("claimed", [-3, 90, 104, 110])
def test_a_file_that_has_other_rows_than_it_says_is_refused(tmp_path: Path, claimed: int) -> None:
    """Else what the memory held before would be taken for images."""
    store = store_of(tmp_path, [encode(GREY, "PNG")] * 100)
    path = tmp_path / "train-0.parquet"
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    # Thrift's compact form of the third field, a zigzag number: 100 rows in all
    at = content.index(b"\x16\xc8\x01", footer)
    number = 2 * claimed if claimed >= 0 else -2 * claimed - 1
    patched = bytes([number & 127 | 128, number >> 7])
    path.write_bytes(content[: at + 1] + patched + content[at + 3 :])
    assert pyarrow.parquet.read_metadata(path).num_rows == claimed
    with pytest.raises(DataError, match="damaged"):
        read(store)


def test_a_file_that_unpacks_to_far_more_than_it_is_stays_within_bounds(tmp_path: Path) -> None:
    """A column that repeats one value takes a few bytes a row."""
    image = {"bytes": encode(GREY, "PNG") + bytes(60_000), "path": ""}
    table = pa.table({"img": [image] * 10_000, "label": [11] + [0] * 9_999})
    pyarrow.parquet.write_table(table, tmp_path / "train-0.parquet", compression="zstd")
    assert (tmp_path / "train-0.parquet").stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(DataError, match="label 11"):
        read(FolderStore(tmp_path))
    assert tracemalloc.get_traced_memory()[1] < 350e6  # all rows at once: 0.6 GB
    tracemalloc.stop()


def test_more_rows_than_a_file_may_have_are_refused_before_they_are_read(tmp_path: Path) -> None:
    table = pa.table({"img": pa.nulls(MAX_ROWS + 1, pa.binary()), "label": pa.nulls(MAX_ROWS + 1, pa.int64())})
    pyarrow.parquet.write_table(table, tmp_path / "train-0.parquet")
    with pytest.raises(DataError, match="1,000,001 rows"):
        read(FolderStore(tmp_path))


def test_all_files_of_a_part_have_one_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MAX_ROWS", 5)
    store_of(tmp_path, [encode(GREY, "PNG")] * 3, key="train-0.parquet")
    store = store_of(tmp_path, [encode(GREY, "PNG")] * 3, key="train-1.parquet")
    with pytest.raises(DataError, match=r"train-1\.parquet: 3 rows"):
        read(store)


@pytest.mark.parametrize("at", ["bytes", "path", "img"])
def test_a_long_value_that_every_row_has_stays_one(tmp_path: Path, at: str) -> None:
    """Copied for each of the rows that are read at a time it would be 0.6 GB."""
    image: Any = {"bytes": encode(GREY, "PNG"), "path": ""}
    if at == "img":
        image = image["bytes"] + bytes(300_000)
    elif at == "bytes":
        image["bytes"] += bytes(300_000)
    else:
        image["path"] = "x" * 300_000
    table = pa.table({"img": [image] * 2_000, "label": [0] * 2_000})
    pyarrow.parquet.write_table(table, tmp_path / "train-0.parquet", compression="zstd")
    plain = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(plain)
    pa.set_memory_pool(pool)
    try:
        with nullcontext() if at == "path" else pytest.raises(DataError, match=r"an image of 300,0\d\d bytes"):
            read(FolderStore(tmp_path))
    finally:
        pa.set_memory_pool(plain)
    assert pool.max_memory() < 50e6


def test_images_that_unpack_to_more_than_images_are_refused_before_they_do(tmp_path: Path) -> None:
    """Ten of 40 MB each, of zeros, are a file of 13 kB."""
    contents = [encode(GREY, "PNG") + bytes(40_000_000 + number) for number in range(10)]
    table = pa.table({"img": contents, "label": [0] * 10})
    pyarrow.parquet.write_table(table, tmp_path / "train-0.parquet", compression="zstd", use_dictionary=False)
    del contents, table
    plain = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(plain)
    pa.set_memory_pool(pool)
    try:
        with pytest.raises(DataError, match=r"img unpacks to 400,\d\d\d,\d\d\d bytes"):
            read(FolderStore(tmp_path))
    finally:
        pa.set_memory_pool(plain)
    assert pool.max_memory() < 50e6


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"dictionary_pagesize_limit": 1_000}])
@pytest.mark.parametrize("is_struct", [True, False])
def test_columns_however_they_are_encoded(tmp_path: Path, options: dict[str, Any], *, is_struct: bool) -> None:
    levels = [level % 200 for level in range(5_000)]
    contents = [encode(Image.fromarray(np.full((32, 32), level, np.uint8)), "PNG") for level in range(200)]
    images = [{"bytes": contents[level], "path": None} if is_struct else contents[level] for level in levels]
    table = pa.table({"image": images, "label": [level % 10 for level in levels]})
    pyarrow.parquet.write_table(table, tmp_path / "train-0.parquet", row_group_size=2_100, **options)
    assert read(FolderStore(tmp_path))[:, 2, 5, 7].tolist() == levels


def test_an_encoding_that_is_not_read_is_told_what_is(tmp_path: Path) -> None:
    table = pa.table({"img": [encode(GREY, "PNG")] * 3, "label": [0, 1, 2]})
    options = {"use_dictionary": False, "column_encoding": {"img": "DELTA_BYTE_ARRAY"}}
    pyarrow.parquet.write_table(table, tmp_path / "train-0.parquet", **options)
    with pytest.raises(DataError, match=r"train-0\.parquet .*Not yet implemented") as caught:
        read(FolderStore(tmp_path))
    assert "write it anew" in (caught.value.hint or "")


@pytest.mark.parametrize("columns", [("img", "fine_label"), ("picture", "label"), ("img", "label", "label")])
def test_a_file_without_images_or_labels_says_what_it_has(tmp_path: Path, columns: tuple[str, ...]) -> None:
    """One that has labels twice, as after a join, does not say which are meant."""
    table = pa.table([[encode(GREY, "PNG")], [0], [1]][: len(columns)], names=columns)
    pyarrow.parquet.write_table(table, tmp_path / "train-0.parquet")
    with pytest.raises(DataError, match=rf"train-0\.parquet: columns {', '.join(columns)}"):
        read(FolderStore(tmp_path))


@pytest.mark.parametrize("image", [{"path": "a.png"}, 3, [b"a"], {"bytes": 3}])
def test_a_column_of_something_else_is_refused(tmp_path: Path, image: object) -> None:
    pyarrow.parquet.write_table(pa.table({"img": [image], "label": [0]}), tmp_path / "train-0.parquet")
    with pytest.raises(DataError, match="img holds no image bytes"):
        read(FolderStore(tmp_path))
