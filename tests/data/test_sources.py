import io
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cifar_ray.data import official
from cifar_ray.data.image_set import ImageSet, Part
from cifar_ray.data.source_name import is_data_word
from cifar_ray.data.sources import load_images, resolve_source
from cifar_ray.errors import CifarRayError, ConfigurationError, DataError
from cifar_ray.settings import Settings, read_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"CIFAR_RAY_HOME": str(tmp_path / "home")})


def write_batches(folder: Path, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> Path:
    """As the official archive has them: pickles whose keys are bytes."""
    base = folder / "cifar-10-batches-py"
    base.mkdir(parents=True)
    rows = images.reshape(len(images), -1)
    names = [f"data_batch_{number}" for number in range(1, 6)]
    for name, part in zip(names, np.array_split(np.arange(len(rows)), 5), strict=True):
        batch = {b"data": rows[part], b"labels": labels[part].tolist()}
        (base / name).write_bytes(pickle.dumps(batch, protocol=2))
    (base / "test_batch").write_bytes(pickle.dumps({b"data": rows[:10], b"labels": labels[:10].tolist()}, protocol=2))
    return base


@pytest.fixture
def png_folder(tmp_path: Path, image_set: ImageSet) -> Path:
    folder = tmp_path / "my-cifar"
    folder.mkdir()
    images = []
    for image in image_set.images:
        buffer = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "PNG")
        images.append({"bytes": buffer.getvalue(), "path": None})
    table = pa.table({"img": images, "label": image_set.labels})
    pyarrow.parquet.write_table(table, folder / "train-00000-of-00001.parquet")
    pyarrow.parquet.write_table(table[:10], folder / "test-00000-of-00001.parquet")
    return folder


def test_parquet_there_and_back(png_folder: Path, image_set: ImageSet, settings: Settings) -> None:
    loaded = load_images(str(png_folder), "train", settings)
    assert np.array_equal(loaded.images, image_set.images)
    assert np.array_equal(loaded.labels, image_set.labels)
    assert (loaded.name, loaded.fingerprint()) == ("my-cifar", image_set.fingerprint())
    assert len(load_images(str(png_folder), "test", settings).labels) == 10


@pytest.mark.parametrize("is_inner", [True, False])
def test_batches_there_and_back(tmp_path: Path, image_set: ImageSet, settings: Settings, is_inner: bool) -> None:
    base = write_batches(tmp_path / "data", image_set.images, image_set.labels)
    loaded = load_images(str(base if is_inner else base.parent), "train", settings)
    assert np.array_equal(loaded.images, image_set.images)
    assert np.array_equal(loaded.labels, image_set.labels)


@pytest.mark.parametrize("kind", ["batches", "parquet"])
def test_training_images_without_a_test_part_are_refused(
    tmp_path: Path, png_folder: Path, image_set: ImageSet, settings: Settings, kind: str
) -> None:
    """Before anything is trained; of the test part nothing is read then, but its name."""
    if kind == "batches":
        folder = write_batches(tmp_path / "data", image_set.images, image_set.labels).parent
        test = folder / "cifar-10-batches-py" / "test_batch"
    else:
        folder, test = png_folder, png_folder / "test-00000-of-00001.parquet"
    test.write_bytes(b"")
    assert len(load_images(str(folder), "train", settings).labels) == len(image_set.labels)
    test.unlink()
    with pytest.raises(DataError, match="has no test images") as caught:
        load_images(str(folder), "train", settings)
    assert "test_batch" in (caught.value.hint or "")


@pytest.mark.parametrize("part", ["train", "test"])
def test_images_of_some_classes_alone_are_refused(
    tmp_path: Path, image_set: ImageSet, settings: Settings, part: Part
) -> None:
    """A sweep on them could never be scored."""
    folder = write_batches(tmp_path, image_set.images, np.minimum(image_set.labels, 6))
    with pytest.raises(DataError, match=f"the {part} part of .* has no image of horse, ship, truck"):
        load_images(str(folder), part, settings)


def test_a_folder_without_data(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(DataError, match="holds no CIFAR-10"):
        load_images(str(tmp_path), "train", settings)


@pytest.mark.parametrize("source", ["shapes:19", "shapes:200001"])
def test_too_few_or_too_many_shapes(source: str, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="is out of range"):
        resolve_source(source, settings)


@given(st.text(max_size=40))
def test_any_string_is_a_source_or_bad_input(source: str) -> None:
    try:
        resolve_source(source, read_settings({"CIFAR_RAY_DATA": "shapes"}))
    except CifarRayError:
        return


def test_what_an_unset_source_means(tmp_path: Path, settings: Settings) -> None:
    assert resolve_source(None, settings) == "cifar10"
    chosen = read_settings({"CIFAR_RAY_DATA": str(tmp_path)})
    assert resolve_source(None, chosen) == resolve_source("auto", chosen) == str(tmp_path)
    assert resolve_source("shapes", chosen) == "shapes"


def test_auto_falls_back_to_shapes_where_nothing_answers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official.torchvision.datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    assert resolve_source("auto", settings) == "shapes"
    with pytest.raises(DataError, match="cannot be downloaded") as caught:
        load_images("cifar10", "train", settings)
    assert "shapes" in str(caught.value.hint)
    assert not settings.cache.exists()


@pytest.mark.slow
def test_the_real_test_set(real_data: Path, settings: Settings) -> None:
    loaded = load_images(str(real_data), "test", settings)
    assert np.bincount(loaded.labels).tolist() == [1000] * 10


@pytest.mark.parametrize(
    ("source", "name", "num_images"),
    [("shapes:20", "shapes (20)", (20, 10)), ("shapes:600", "shapes (600)", (600, 120))],
)
def test_names_in_tables(source: str, name: str, num_images: tuple[int, int], settings: Settings) -> None:
    train, test = (load_images(resolve_source(source, settings), part, settings) for part in ("train", "test"))
    assert train.name == test.name == name
    assert (len(train.labels), len(test.labels)) == num_images
    assert not np.array_equal(train.images[:10], test.images[:10])


@pytest.mark.parametrize(
    "source", ["cifar100", "shapes:x", "x" * 300, "ftp://x/y", "s3://B/x", "~nobody-of-that-name", "a\0/b"]
)
def test_the_hint_for_a_malformed_source_lists_what_is_allowed(source: str, settings: Settings) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_source(source, settings)
    for word in ("cifar10", "shapes", "shapes:N", "auto", "folder", "s3://"):
        assert word in str(caught.value.hint)


def test_auto_as_the_default_means_auto(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    assert resolve_source(None, replace(settings, data="auto")) == "shapes"


def test_a_folder_is_named_by_its_absolute_path(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_source("here", settings) == resolve_source("./here", settings) == str(tmp_path / "here")
    assert resolve_source("s3://bucket/a/", settings) == "s3://bucket/a"


def test_a_data_set_may_be_made_of_links(tmp_path: Path, png_folder: Path, settings: Settings) -> None:
    """As the cache of Hugging Face has them."""
    (tmp_path / "snapshot").mkdir()
    for path in png_folder.iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(path)
    assert len(load_images(str(tmp_path / "snapshot"), "test", settings).labels) == 10


def test_the_folder_of_the_batches_may_be_a_link(tmp_path: Path, image_set: ImageSet, settings: Settings) -> None:
    """As where several projects share one copy."""
    base = write_batches(tmp_path / "shared", image_set.images, image_set.labels)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / base.name).symlink_to(base)
    loaded = load_images(str(tmp_path / "mine"), "train", settings)
    assert loaded.fingerprint() == image_set.fingerprint()
    assert (loaded.source, loaded.name) == (str(tmp_path / "mine"), "mine")


def test_data_known_by_name_is_so_whatever_folder_is_called_so() -> None:
    words = ["cifar10", "auto", "shapes", "shapes:500", "shapes:", "cifar", "./shapes", "autos"]
    assert [is_data_word(word) for word in words] == [True] * 4 + [False] * 4
