import json
from pathlib import Path

import pytest
from fakes import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.errors import CheckpointError
from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.object_store import ObjectStore
from cifar_ray.storage.runs import RunStore


@pytest.fixture
def objects(runs: RunStore) -> ObjectStore:
    return runs.objects


@pytest.fixture
def store(objects: ObjectStore) -> CheckpointStore:
    store = CheckpointStore(objects, "cnn-1", "t0000")
    for epoch, accuracy in ((1, 0.3), (2, 0.5), (3, 0.4)):
        store.save(checkpoint(epoch, accuracy))
    return store


def key(epoch: int, name: str) -> str:
    return f"{layout.checkpoint('cnn-1', 't0000', epoch)}/{name}"


def test_there_and_back(store: CheckpointStore) -> None:
    assert store.load(2) == checkpoint(2, 0.5)
    assert store.epochs() == [1, 2, 3]


def test_newest_and_best(store: CheckpointStore) -> None:
    passed_over: list[str] = []
    assert store.load_newest(passed_over.append) == checkpoint(3, 0.4)
    assert store.load_best(passed_over.append) == checkpoint(2, 0.5)
    assert not passed_over


def test_of_equal_accuracies_the_earlier_is_the_best(store: CheckpointStore) -> None:
    store.save(checkpoint(4, 0.5))
    assert store.load_best(lambda _: None) == checkpoint(2, 0.5)


@pytest.mark.fault("a checkpoint is damaged")
@pytest.mark.parametrize("name", [layout.WEIGHTS, layout.TRAINER_STATE, layout.MANIFEST])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_used(
    store: CheckpointStore, objects: ObjectStore, name: str, damage: str
) -> None:
    content = objects.read(key(3, name))
    if damage == "remove":
        objects.delete(key(3, name))
    else:
        changed = content[:-3] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:]
        objects.write(key(3, name), changed)
    passed_over: list[str] = []
    assert store.load_newest(passed_over.append) == checkpoint(2, 0.5)
    with pytest.raises(CheckpointError, match="epoch-0003"):
        store.load(3)
    is_unseen = name == layout.MANIFEST and damage == "remove"  # without a manifest it is none at all
    assert len(passed_over) == (0 if is_unseen else 1)


def test_a_checkpoint_that_is_still_being_written_is_none(store: CheckpointStore, objects: ObjectStore) -> None:
    objects.write(key(9, layout.WEIGHTS), b"half")
    assert store.epochs() == [1, 2, 3]


def test_what_a_killed_process_left_is_removed(store: CheckpointStore, objects: ObjectStore) -> None:
    objects.write(key(4, layout.WEIGHTS), b"weights 4")
    objects.delete(key(1, layout.MANIFEST))
    other = CheckpointStore(objects, "cnn-1", "t0001")
    objects.write(f"{layout.checkpoint('cnn-1', 't0001', 1)}/{layout.WEIGHTS}", b"being written")
    store.remove_partial()
    left = {found.split("/")[-2] for found in objects.keys(layout.checkpoints("cnn-1", "t0000"))}
    assert left == {"epoch-0002", "epoch-0003"}
    assert store.load(2) == checkpoint(2, 0.5)
    assert len(objects.keys(layout.checkpoints("cnn-1", "t0001"))) == 1, "another trial's are not touched"
    other.remove_partial()
    assert objects.keys(layout.checkpoints("cnn-1", "t0001")) == []


def test_a_manifest_of_another_trial_is_refused(store: CheckpointStore, objects: ObjectStore) -> None:
    other = CheckpointStore(objects, "cnn-1", "t0001")
    other.save(checkpoint(3, 0.9))
    name = f"{layout.checkpoint('cnn-1', 't0001', 3)}/{layout.MANIFEST}"
    objects.write(key(3, layout.MANIFEST), objects.read(name))
    with pytest.raises(CheckpointError, match="another checkpoint"):
        store.load(3)


@pytest.mark.parametrize(("field", "value"), [("format", 2), ("epoch", 2)])
def test_a_manifest_of_another_format_or_epoch_is_refused(
    store: CheckpointStore, objects: ObjectStore, field: str, value: int
) -> None:
    """Its files may be what it says all the same: a copy of an epoch's folder under another's name."""
    manifest = json.loads(objects.read(key(3, layout.MANIFEST)))
    assert manifest[field] != value
    objects.write(key(3, layout.MANIFEST), json.dumps(manifest | {field: value}).encode())
    with pytest.raises(CheckpointError, match="of another checkpoint or format"):
        store.load(3)


def test_an_accuracy_that_is_no_share_is_of_a_damaged_manifest(store: CheckpointStore, objects: ObjectStore) -> None:
    """The store would refuse it in test scores, once the test set has been opened."""
    manifest = json.loads(objects.read(key(3, layout.MANIFEST)))
    objects.write(key(3, layout.MANIFEST), json.dumps(manifest | {"validation_accuracy": 7.0}).encode())
    passed_over: list[str] = []
    assert store.load_best(passed_over.append) == checkpoint(2, 0.5)
    assert "epoch-0003: the manifest is damaged: Manifest.validation_accuracy" in passed_over[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["format", "trial_id", "epoch", "validation_accuracy", "config", "files"])


@given(st.binary(max_size=200) | JSON | st.dictionaries(FIELDS, JSON))
def test_whatever_a_manifest_holds(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    """Also one whose other fields are those of a good one."""
    objects = FolderStore(tmp_path_factory.mktemp("any"))
    store = CheckpointStore(objects, "cnn-1", "t0000")
    for epoch in (1, 2):
        store.save(checkpoint(epoch, 0.5))
    if isinstance(content, dict):
        content = json.loads(objects.read(key(2, layout.MANIFEST))) | content
    objects.write(key(2, layout.MANIFEST), content if isinstance(content, bytes) else json.dumps(content).encode())
    passed_over: list[str] = []
    newest = store.load_newest(passed_over.append)
    assert newest is not None
    assert newest.weights == b"weights %d" % newest.epoch
    assert len(passed_over) == 2 - newest.epoch


def test_prune_keeps_what_it_is_told(store: CheckpointStore, objects: ObjectStore) -> None:
    store.prune(keep={2, 3}, known={1, 2, 3})
    assert store.epochs() == [2, 3]
    assert not any("epoch-0001" in key for key in objects.keys("cnn-1"))


def test_a_damaged_best_checkpoint_leaves_its_place_to_the_best_whole_one(
    store: CheckpointStore, objects: ObjectStore
) -> None:
    objects.write(key(2, layout.WEIGHTS), b"cut")
    assert store.remove_damaged_best({1: 0.3, 2: 0.5, 3: 0.4}) == {1: 0.3, 3: 0.4}
    assert store.epochs() == [1, 3]
    assert store.remove_damaged_best({1: 0.3, 3: 0.4}) == {1: 0.3, 3: 0.4}
    assert store.remove_damaged_best({}) == {}


def test_no_checkpoint_is_no_error(runs: RunStore) -> None:
    empty = CheckpointStore(runs.objects, "cnn-1", "t0005")
    assert (empty.epochs(), empty.load_newest(print), empty.load_best(print)) == ([], None, None)


def test_a_file_that_is_a_link_is_a_damaged_checkpoint(tmp_path: Path) -> None:
    store = CheckpointStore(FolderStore(tmp_path), "cnn-1", "t0000")
    for epoch in (1, 2):
        store.save(checkpoint(epoch, 0.5))
    weights = tmp_path / "cnn-1/trials/t0000/checkpoints/epoch-0002/model.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    said: list[str] = []
    found = store.load_newest(said.append)
    assert found is not None
    assert found.epoch == 1
    assert "symbolic link" in said[0]
