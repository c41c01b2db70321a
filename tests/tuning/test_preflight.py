from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cifar_ray.errors import CifarRayError, ConfigurationError, CredentialsError, StorageError, StoreUnavailableError
from cifar_ray.settings import read_settings
from cifar_ray.storage.folder import FolderStore
from cifar_ray.tuning import preflight
from cifar_ray.tuning.preflight import check_every_node, choose_storage

CHECK = preflight._check_from_node._function  # type: ignore[attr-defined]
NODES = [
    {"NodeID": "a" * 56, "NodeManagerAddress": "10.0.0.1", "Alive": True},
    {"NodeID": "b" * 56, "NodeManagerAddress": "10.0.0.2", "Alive": True},
    {"NodeID": "c" * 56, "NodeManagerAddress": "10.0.0.3", "Alive": False},
]


class Mounts:
    """In the place of the remote check: runs it here, with what each living node has at the store's path."""

    def __init__(self, by_node: dict[str, Path]) -> None:
        self._by_node = by_node

    def options(self, scheduling_strategy: NodeAffinitySchedulingStrategy) -> SimpleNamespace:
        folder = self._by_node[scheduling_strategy.node_id]
        return SimpleNamespace(remote=lambda uri, marker, commit: CHECK(str(folder), marker, commit))


def test_an_unset_store_is_the_home_of_one_node(tmp_path: Path) -> None:
    settings = read_settings({"CIFAR_RAY_HOME": str(tmp_path)})
    assert choose_storage(None, settings, num_nodes=1) == str(tmp_path / "results")


def test_an_unset_store_is_refused_on_several_nodes() -> None:
    with pytest.raises(ConfigurationError, match="2 nodes") as caught:
        choose_storage(None, read_settings({}), num_nodes=2)
    assert "s3://bucket/prefix" in str(caught.value.hint)


def test_the_option_overrides_the_environment() -> None:
    settings = read_settings({"CIFAR_RAY_STORAGE": "s3://bucket/env/"})
    assert choose_storage(None, settings, num_nodes=5) == "s3://bucket/env"
    assert choose_storage("/shared-disk/x", settings, num_nodes=5) == "/shared-disk/x"


def check_from_two_nodes(monkeypatch: pytest.MonkeyPatch, first: Path, second: Path) -> None:
    def get(check: CifarRayError | None, timeout: float) -> CifarRayError | None:
        return check

    monkeypatch.setattr(preflight, "ray", SimpleNamespace(nodes=lambda: NODES, get=get, exceptions=ray.exceptions))
    monkeypatch.setattr(preflight, "_check_from_node", Mounts({"a" * 56: first, "b" * 56: second}))
    check_every_node(FolderStore(first))


def test_a_folder_of_all_living_nodes_is_a_store_and_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_from_two_nodes(monkeypatch, tmp_path, tmp_path)
    assert FolderStore(tmp_path).keys() == []


def test_a_folder_that_each_node_has_for_itself_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"from node 10\.0\.0\.2: .* is not the same store on every node"):
        check_from_two_nodes(monkeypatch, tmp_path / "here", tmp_path / "there")
    assert FolderStore(tmp_path).keys() == []


@pytest.mark.parametrize("failure", [CredentialsError("no keys", "give some"), StoreUnavailableError("none", "wait")])
def test_what_keeps_a_node_from_the_store_is_said_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failure: StorageError
) -> None:
    """Whether it may pass is for the job to see."""

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(preflight, "check_marker", fail)
    with pytest.raises(type(failure), match=rf"from node 10\.0\.0\.1: {failure.message}") as caught:
        check_from_two_nodes(monkeypatch, tmp_path, tmp_path)
    assert (type(caught.value), caught.value.hint) == (type(failure), failure.hint)


@pytest.mark.parametrize(("driver", "node", "is_refused"), [("a1", "b2", True), ("a1", "a1", False), ("a1", "", False)])
def test_a_node_with_another_image_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: str, node: str, is_refused: bool
) -> None:
    read = iter([read_settings({"CIFAR_RAY_COMMIT": each}) for each in (driver, driver, node)])
    monkeypatch.setattr(preflight, "read_settings", lambda: next(read))
    if not is_refused:
        check_from_two_nodes(monkeypatch, tmp_path, tmp_path)
        return
    with pytest.raises(
        ConfigurationError, match=r"from node 10\.0\.0\.2: its image is of commit b2, the driver's of a1"
    ):
        check_from_two_nodes(monkeypatch, tmp_path, tmp_path)
    assert FolderStore(tmp_path).keys() == []
