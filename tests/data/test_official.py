"""The download of the official archive, from a server of our own that serves a small one."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from loopback_server import NotingServer, serving

from cifar_ray.data import official
from cifar_ray.data.batches import FILES
from cifar_ray.data.sources import load_images, resolve_source
from cifar_ray.errors import DataError
from cifar_ray.settings import Settings, read_settings


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def make_batches() -> dict[str, bytes]:
    """Six batches of ten images; all pixels of a batch have its number."""
    names = [*FILES["train"], *FILES["test"]]
    return {
        name: pickle.dumps({b"data": np.full((10, 3072), number, np.uint8), b"labels": list(range(10))}, protocol=2)
        for number, name in enumerate(names)
    }


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NotingServer]:
    """torchvision's addresses and checksums, exchanged for those of the small archive."""
    batches = make_batches()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in batches.items():
            entry = tarfile.TarInfo(f"{official.FOLDER}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    server = NotingServer(buffer.getvalue())
    for name, value in {
        "url": f"{server.url}/cifar-10-python.tar.gz",
        "tgz_md5": md5(buffer.getvalue()),
        "train_list": [[name, md5(batches[name])] for name in FILES["train"]],
        "test_list": [[name, md5(batches[name])] for name in FILES["test"]],
    }.items():
        monkeypatch.setattr(official.CIFAR10, name, value)
    with serving(server):
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"CIFAR_RAY_HOME": str(tmp_path)})


def leftovers(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.cache.iterdir())


def test_it_is_downloaded_once(server: NotingServer, settings: Settings) -> None:
    assert resolve_source("auto", settings) == "cifar10"
    train, test = (load_images("cifar10", part, settings) for part in ("train", "test"))
    assert (len(train.labels), len(test.labels)) == (50, 10)
    assert train.images[:, 0, 0, 0].tolist() == [number for number in range(5) for _ in range(10)]
    assert train.name == "cifar10"
    assert leftovers(settings) == [official.FOLDER]
    num_requests = len(server.asked)
    load_images("cifar10", "train", settings)
    assert resolve_source("auto", settings) == "cifar10"
    assert len(server.asked) == num_requests


@pytest.mark.parametrize("damage", ["truncated", "absent"])
def test_half_a_copy_is_not_taken_for_whole(server: NotingServer, settings: Settings, damage: str) -> None:
    official.fetch_official(settings.cache)
    batch = settings.cache / official.FOLDER / "data_batch_2"
    whole = batch.read_bytes()
    if damage == "absent":
        batch.unlink()
    else:
        batch.write_bytes(whole[:-1])
    official.fetch_official(settings.cache)
    assert batch.read_bytes() == whole
    assert leftovers(settings) == [official.FOLDER]


def test_a_download_that_breaks_off_leaves_nothing(server: NotingServer, settings: Settings) -> None:
    server.content = server.content[:-100]
    with pytest.raises(DataError, match=r"download of CIFAR-10 into .* failed") as caught:
        official.fetch_official(settings.cache)
    assert "CIFAR_RAY_DATA" in str(caught.value.hint)
    assert leftovers(settings) == []


def test_a_server_that_refuses(server: NotingServer, settings: Settings) -> None:
    server.status = 503
    assert resolve_source("auto", settings) == "shapes"
    with pytest.raises(DataError, match="cannot be downloaded"):
        official.fetch_official(settings.cache)


def test_a_cache_that_cannot_be_made(server: NotingServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="failed"):
        official.fetch_official(tmp_path / "file" / "cache")


def test_downloads_at_once_do_not_break_each_other(server: NotingServer, settings: Settings) -> None:
    def fetch(_: int) -> int:
        folder = official.fetch_official(settings.cache)
        return sum((folder / name).stat().st_size for name in make_batches())

    with ThreadPoolExecutor(6) as pool:
        sizes = set(pool.map(fetch, range(6)))
    assert sizes == {sum(map(len, make_batches().values()))}
    assert leftovers(settings) == [official.FOLDER]


def test_a_copy_that_another_process_has_just_finished_is_kept(
    server: NotingServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one ends between our look at the cache and our download."""
    answers, kept = official._answers, []

    def meanwhile() -> str | None:
        monkeypatch.setattr(official, "_answers", answers)
        kept.append(official.fetch_official(settings.cache).stat().st_ino)
        return answers()

    monkeypatch.setattr(official, "_answers", meanwhile)
    assert official.fetch_official(settings.cache).stat().st_ino == kept[0]
