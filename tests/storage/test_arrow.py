"""Ray Tune's view of a folder."""

import pickle
import resource
from pathlib import Path

import pyarrow.fs
import pytest

from cifar_ray.settings import read_settings
from cifar_ray.storage.arrow import arrow_filesystem


@pytest.fixture
def filesystem(tmp_path: Path) -> pyarrow.fs.FileSystem:
    filesystem, root = arrow_filesystem(str(tmp_path), read_settings({}).s3)
    assert root == str(tmp_path)
    return pickle.loads(pickle.dumps(filesystem))  # noqa: S301 - as Ray Tune keeps it


def test_there_and_back(filesystem: pyarrow.fs.FileSystem, tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from/state.json").write_bytes(b"1" * 100_000)
    target = str(tmp_path / "to/deep")
    filesystem.create_dir(target)
    pyarrow.fs.copy_files(
        str(tmp_path / "from"),
        target,
        source_filesystem=pyarrow.fs.LocalFileSystem(),
        destination_filesystem=filesystem,
    )
    assert (tmp_path / "to/deep/state.json").read_bytes() == b"1" * 100_000
    with filesystem.open_input_stream(f"{target}/state.json") as file:
        assert file.readall() == b"1" * 100_000
    assert [each.base_name for each in filesystem.get_file_info(pyarrow.fs.FileSelector(target))] == ["state.json"]


def test_what_does_not_fit_leaves_the_old_file(filesystem: pyarrow.fs.FileSystem, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with filesystem.open_output_stream(str(path)) as file:
        file.write(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"), filesystem.open_output_stream(str(path)) as file:
            file.write(b"new" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_still_being_written_is_not_there(filesystem: pyarrow.fs.FileSystem, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with filesystem.open_output_stream(str(path)) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"half"
