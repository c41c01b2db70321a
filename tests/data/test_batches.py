"""The pickles of the official archive, which Python 2 wrote, and pickles that no batch would be."""

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from cifar_ray.cifar10 import CLASSES
from cifar_ray.data.batches import FILES, find_batches, read_batches
from cifar_ray.data.image_set import ImageSet
from cifar_ray.errors import DataError
from cifar_ray.storage.folder import FolderStore

DOUBLED = b")p0\n" + b"0(g0\ng0\ntp0\n" * 40 + b"0"


class PythonTwoPickler(pickle._Pickler):  # type: ignore[name-defined,misc]  # only the Python pickler can be bent
    """Writes what Python 2's cPickle wrote: every string as bytes, every flag of a dtype as a whole number."""

    dispatch: ClassVar[dict[type, Callable[..., None]]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_string(self, text: str | bytes) -> None:
        content = text.encode("latin1") if isinstance(text, str) else text
        self.write(b"T" + struct.pack("<i", len(content)) + content)
        self.memoize(text)

    def save_flag(self, flag: bool) -> None:
        self.save(int(flag))

    dispatch[str] = dispatch[bytes] = save_string
    dispatch[bool] = save_flag


def write_python_two(path: Path, batch: dict[str, Any]) -> None:
    with path.open("wb") as file:
        PythonTwoPickler(file, protocol=2).dump(batch)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


@pytest.fixture
def official(tmp_path: Path, image_set: ImageSet) -> FolderStore:
    """As the official archive is: five batches, one for the test, names as well."""
    rows = image_set.images.reshape(-1, 3072)
    for name, part in zip(FILES["train"], np.array_split(np.arange(len(rows)), 5), strict=True):
        batch = {"batch_label": name, "labels": image_set.labels[part].tolist(), "data": rows[part], "filenames": ["a"]}
        write_python_two(tmp_path / name, batch)
    write_python_two(tmp_path / "test_batch", {"labels": image_set.labels[:5].tolist(), "data": rows[:5]})
    write_python_two(tmp_path / "batches.meta", {"label_names": [*CLASSES]})
    return FolderStore(tmp_path)


def test_batches_as_python_two_wrote_them(official: FolderStore, image_set: ImageSet) -> None:
    content = official.read("data_batch_1")
    assert b"numpy.core.multiarray" in content
    assert b"_codecs" not in content
    images, labels = read_batches(official, "", "train")
    assert np.array_equal(images, image_set.images)
    assert np.array_equal(labels, image_set.labels)
    assert labels.dtype == np.int64
    assert np.array_equal(read_batches(official, "", "test")[0], image_set.images[:5])


@pytest.mark.parametrize("kind", [bytes, str])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_batches_that_python_three_wrote_again(
    official: FolderStore, image_set: ImageSet, protocol: int, kind: type[bytes | str]
) -> None:
    images, labels = image_set.images.reshape(-1, 3072)[:7], image_set.labels[:7]
    names = ("data", "labels") if kind is str else (b"data", b"labels")
    # protocol 5 writes an array by its buffer, in either order
    for values in ((images, labels.tolist()), (np.asfortranarray(images), labels)):
        official.write("test_batch", pickle.dumps(dict(zip(names, values, strict=True)), protocol=protocol))
        found = read_batches(official, "", "test")
        assert np.array_equal(found[0], image_set.images[:7])
        assert np.array_equal(found[1], labels)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "asks for os.system"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "asks for builtins.eval"),
        (b"cnumpy.core.multiarray\nscalar\n.", "asks for numpy.core.multiarray.scalar"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.", "asks for numpy.ndarray.dump"),
        # a buffer of 40 bytes, to be 100,000 images
        (
            b"cnumpy._core.numeric\n_frombuffer\n(\x96\x28"
            + bytes(47)
            + b"cnumpy\ndtype\n(Vu1\ntR(I100000\nI3072\ntVC\ntR.",
            "cannot reshape array of size 40",
        ),
        (b"c_codecs\nencode\n(V1\nVzlib\ntR.", "asks for the codec 'zlib'"),
        (b"\x80\x02U\x01xQ.", "persistent"),
        # an array made outright, larger than its file: here of 100,000 images in 40 bytes
        (b"cnumpy\nndarray\n((I100000\nI3072\ntcnumpy\ndtype\n(Vu1\ntRtR.", "takes no arguments"),
        # a note that the unpickler would make room for
        (b"\x80\x02Nr\x00\x00\x00\x40.", "notes a value under 1073741824"),
        # one text of 500 letters, encoded again and again
        (b"(V" + b"x" * 500 + b"\np1\n" + b"c_codecs\nencode\n(g1\nVlatin1\ntR" * 20 + b"t.", "more than it is"),
        # a pair of pairs of pairs, 2^40 values if anyone hashes or prints it
        (DOUBLED + b"}g0\nNs.", "means it twice"),
        (b"N" + b"2\x86" * 40 + b".", "means it twice"),
        (DOUBLED + b"c_codecs\nencode\n(V1\ng0\ntR.", "means it twice"),
        # by recursion in C, which ends the process
        (b"}N" + b"\x85" * 1_000_000 + b"Ns.", "it has 1,000,000 tuples"),
        (b"c_codecs\nencode\n(V1\n(lV" + b"z" * 1_000 + b"\natR.", "asks for the codec 'list'"),
        (b"", ""),
        (b"not a pickle", ""),
    ],
)
def test_whatever_is_no_array_is_refused_with_the_files_name(official: FolderStore, content: bytes, says: str) -> None:
    official.write("data_batch_4", content)
    with pytest.raises(DataError, match=f"data_batch_4 is truncated or damaged: .*{says}"):
        read_batches(official, "", "train")


IMAGES = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ({b"data": IMAGES}, "is truncated or damaged: it has no labels"),
        ({b"data": IMAGES, b"labels": 3}, "its labels are no whole numbers"),
        ({b"data": IMAGES, b"labels": [[1], [2]]}, "its labels are no whole numbers"),
        ({b"data": IMAGES, b"labels": [1, None]}, "its labels are no whole numbers"),
        ({b"data": IMAGES, b"labels": [3.7, True]}, "its labels are no whole numbers"),
        ({b"data": IMAGES, b"labels": np.array([1.0, 2.0])}, "its labels are float64, not whole numbers"),
        ({b"data": IMAGES, b"labels": [1, -1]}, "row 1: label -1 is out of range"),
        ({b"data": IMAGES, b"labels": [1, 12]}, "row 1: label 12 is out of range"),
        ({b"data": IMAGES, b"labels": [1]}, "2 images of 3072 bytes and 1 labels"),
        ({b"data": IMAGES[:, :3000], b"labels": [1, 2]}, "2 images of 3000 bytes and 2 labels"),
        ({b"data": IMAGES.astype(object), b"labels": [1, 2]}, "is truncated or damaged"),
        ({b"data": IMAGES.astype(float), b"labels": [1, 2]}, "its data are no table of bytes"),
        ({b"data": IMAGES.ravel(), b"labels": [1, 2]}, "its data are no table of bytes"),
        ([1, 2], "is truncated or damaged"),
    ],
)
def test_a_batch_of_the_wrong_make_is_refused_with_the_files_name(
    official: FolderStore, batch: object, says: str
) -> None:
    official.write("test_batch", pickle.dumps(batch, protocol=4))
    with pytest.raises(DataError, match=f"test_batch.* {says}"):
        read_batches(official, "", "test")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            pickle.dumps({"label_names": [*CLASSES[:-1], "lorry"]}),
            "names other classes than .*: airplane, .*lorry",
        ),
        (pickle.dumps({b"label_names": [b"apple"]}), "other classes than CIFAR-10's: apple"),
        (pickle.dumps({"label_names": 3}), "no list"),
        (pickle.dumps({}), "it has no label_names"),
        (b"", "truncated or damaged"),
    ],
)
def test_batches_of_other_classes_are_refused(official: FolderStore, content: bytes, says: str) -> None:
    official.write("batches.meta", content)
    with pytest.raises(DataError, match=f"batches.meta.*{says}"):
        read_batches(official, "", "train")


def test_batches_without_names_are_taken(official: FolderStore) -> None:
    official.write("batches.meta", pickle.dumps({b"label_names": [name.encode() for name in CLASSES]}, protocol=2))
    assert len(read_batches(official, "", "train")[1]) == 200
    official.delete("batches.meta")
    assert len(read_batches(official, "", "train")[1]) == 200


def test_a_batch_that_is_missing_is_named(official: FolderStore) -> None:
    official.delete("data_batch_3")
    with pytest.raises(DataError, match="data_batch_3 is missing"):
        read_batches(official, "", "train")


@pytest.mark.parametrize("kind", ["<i4", ">i8", "u1", "<u2", tuple])
def test_labels_may_be_an_array_and_images_in_columns(
    official: FolderStore, image_set: ImageSet, kind: str | type
) -> None:
    images = np.asfortranarray(image_set.images.reshape(-1, 3072)[:7])
    labels = image_set.labels[:7]
    given = tuple(labels.tolist()) if kind is tuple else labels.astype(kind)
    batch = {b"data": images, b"labels": given, b"mean": np.zeros(3)}
    official.write("test_batch", pickle.dumps(batch, protocol=2))
    assert np.array_equal(read_batches(official, "", "test")[0], image_set.images[:7])
    assert np.array_equal(read_batches(official, "", "test")[1], image_set.labels[:7])


def test_fields_that_numpy_would_follow_as_pointers_are_refused(official: FolderStore) -> None:
    """Loaded as numpy loads it, such a file ends the process with a segmentation fault."""

    class Pointers:
        def __reduce__(self) -> Any:
            state = (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)
            return np.dtype, ("V8", False, True), state

    class Labels:
        def __reduce__(self) -> Any:
            state = (1, (2,), Pointers(), False, b"A" * 16)
            return np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"), state

    official.write("test_batch", pickle.dumps({b"data": IMAGES, b"labels": Labels()}, protocol=2))
    with pytest.raises(DataError, match=r"has an array of '(V8|O8)', which no batch needs"):
        read_batches(official, "", "test")


def test_the_folder_itself_or_the_one_that_holds_it() -> None:
    assert find_batches(["batches.meta", "data_batch_1"]) == ""
    assert find_batches(["cifar-10-batches-py/test_batch"]) == "cifar-10-batches-py/"
    assert find_batches(["train-0.parquet", "elsewhere/test_batch"]) is None
