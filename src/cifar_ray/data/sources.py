"""Loads images from the data source that a string names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from cifar_ray.cifar10 import CLASSES
from cifar_ray.data.batches import FILES, FOLDER, find_batches, read_batches
from cifar_ray.data.image_set import ImageSet, Part
from cifar_ray.data.parquet import has_parquet, read_parquet
from cifar_ray.data.shapes import SHAPES, draw_shapes
from cifar_ray.data.source_name import ALLOWED, check_source, is_data_word, is_folder, num_shapes
from cifar_ray.errors import ConfigurationError, DataError
from cifar_ray.settings import Settings, check_no_user
from cifar_ray.storage.object_store import open_store


def resolve_source(source: str | None, settings: Settings) -> str:
    """The source that `source` names; None means `CIFAR_RAY_DATA` or, if that is unset, `cifar10`.

    `auto` means `CIFAR_RAY_DATA` if set, else `cifar10` if it is cached or can be downloaded, else `shapes`.
    """
    check_no_user("data", source)
    default = settings.data if settings.data != "auto" else None
    chosen = source or settings.data or "cifar10"
    if chosen == "auto":
        chosen = default or ("cifar10" if _official().is_available(settings.cache) else "shapes")
    check_source(chosen)
    if is_data_word(chosen):
        return chosen
    try:
        return open_store(chosen, settings.s3).uri
    except ConfigurationError as error:
        raise ConfigurationError(f"data {chosen!r} is no source: {error.message}", ALLOWED) from error


def _official() -> ModuleType:
    """Import it only where needed: torchvision and torch, which it imports, take three seconds."""
    from cifar_ray.data import official  # noqa: PLC0415

    return official


def load_images(source: str, part: Part, settings: Settings) -> ImageSet:
    """Decode one part of a resolved source; DataError where it is missing, damaged or lacks a class, or a test part."""
    if num_train := num_shapes(source):
        return _load_shapes(source, part, num_train)
    folder = str(_official().fetch_official(settings.cache)) if source == "cifar10" else source
    if "://" not in folder and not is_folder(folder):
        raise DataError(
            f"there is no folder {folder} where the job runs", "name one that its node has, or an s3:// prefix"
        )
    # a store lists what links to files lead to, but not links to folders
    if "://" not in folder and (batches := Path(folder, FOLDER)).is_symlink():
        folder = str(batches)
    # Hugging Face's cache consists of symbolic links
    store = open_store(folder, settings.s3, has_links=True)
    keys = store.keys()
    prefix = find_batches(keys)
    if prefix is None and not has_parquet(keys):
        raise DataError(
            f"{source} holds no CIFAR-10",
            "it needs data_batch_1 … test_batch (cifar-10-batches-py, unpacked), or train-*.parquet and test-*.parquet",
        )
    if part == "train":
        _check_has_test(source, keys, prefix)
    images, labels = read_parquet(store, keys, part) if prefix is None else read_batches(store, prefix, part)
    if missing := [name for label, name in enumerate(CLASSES) if label not in labels]:
        raise DataError(f"the {part} part of {source} has no image of {', '.join(missing)}", "it needs some of each")
    name = source if source == "cifar10" else source.rstrip("/").rpartition("/")[2]
    return ImageSet(source=source, name=name, images=images, labels=labels, classes=CLASSES)


def _check_has_test(source: str, keys: Sequence[str], prefix: str | None) -> None:
    """Check names alone: only the evaluation opens the test images, once, and would miss them hours later."""
    has_test = has_parquet(keys, "test") if prefix is None else all(f"{prefix}{name}" in keys for name in FILES["test"])
    if not has_test:
        raise DataError(
            f"{source} has no test images, by which a sweep's winner is judged",
            "put test_batch, or test-*.parquet, beside the training images",
        )


def _load_shapes(source: str, part: Part, num_train: int) -> ImageSet:
    is_train = part == "train"
    images, labels = draw_shapes(num_train if is_train else max(num_train // 5, 10), seed=0 if is_train else 1)
    name = "shapes" if source == "shapes" else f"shapes ({num_train})"
    return ImageSet(source=source, name=name, images=images, labels=labels, classes=tuple(SHAPES))
