from pathlib import Path

import pytest

from cifar_ray.errors import ConfigurationError
from cifar_ray.settings import read_settings
from cifar_ray.tuning.preflight import choose_storage


def test_an_unset_store_is_the_home_of_one_node(tmp_path: Path) -> None:
    settings = read_settings({"CIFAR_RAY_HOME": str(tmp_path)})
    assert choose_storage(None, settings, num_nodes=1) == str(tmp_path / "results")


def test_an_unset_store_is_refused_on_several_nodes() -> None:
    with pytest.raises(ConfigurationError, match="2 nodes") as caught:
        choose_storage(None, read_settings({}), num_nodes=2)
    assert "s3://bucket/prefix" in str(caught.value.hint)


def test_the_option_goes_before_the_environment() -> None:
    settings = read_settings({"CIFAR_RAY_STORAGE": "s3://bucket/env/"})
    assert choose_storage(None, settings, num_nodes=5) == "s3://bucket/env"
    assert choose_storage("/shared-disk/x", settings, num_nodes=5) == "/shared-disk/x"
