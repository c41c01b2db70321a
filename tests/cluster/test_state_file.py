"""What state.json may be when it is read."""

import json
from pathlib import Path

import pytest

from cifar_ray.cluster import local
from cifar_ray.cluster.state import LocalCluster, StateFolder
from cifar_ray.errors import ClusterError


@pytest.mark.parametrize("found", [b"", b"[]", b"\xff\xfe"])
def test_a_damaged_record_is_told_with_what_to_do(tmp_path, found):
    (tmp_path / "state.json").write_bytes(found)
    with pytest.raises(ClusterError, match="is damaged") as caught:
        StateFolder(home=tmp_path).read()
    assert (caught.value.hint or "").endswith(f"'start --head|{tmp_path / 's3'}'`), then remove it")


def test_what_a_newer_version_has_written_is_read(tmp_path):
    """Else a cluster that ran while the package was replaced could not be stopped."""
    state = StateFolder(home=tmp_path)
    state.prepare()
    made = local.plan(local.LocalClusterOptions(home=tmp_path), state)
    Path(made.temp_dir).rmdir()
    newer = json.loads(made.to_json()) | {"of_a_later_version": {"port": 1}}
    (tmp_path / "state.json").write_text(json.dumps(newer))
    assert state.read() == made


@pytest.mark.usefixtures("ascii_locale")
def test_a_home_of_any_name_is_read_back_whatever_the_locale(tmp_path):
    state = StateFolder(home=tmp_path / "Größe")
    state.prepare()
    names = ("dashboard_url", "s3_endpoint_url", "storage", "token_path", "credentials_path", "temp_dir")
    paths = dict.fromkeys((*names, "ray_log_path", "s3_log_path"), str(state.home))
    state.write(cluster := LocalCluster(s3_internal_ports=(), **paths))
    assert state.read() == cluster


def test_a_folder_that_is_another_users_is_told_with_what_to_do(tmp_path):
    """As after one `sudo cifar-ray local up`; root may open such a file, but no folder in its place."""
    (tmp_path / "lock").mkdir()
    (tmp_path / "logs").touch()
    state = StateFolder(home=tmp_path)
    for refused in (state.prepare, state.locked().__enter__):
        with pytest.raises(ClusterError, match="cannot be") as caught:
            refused()
        assert caught.value.hint == "let CIFAR_RAY_HOME name a folder of your own"
