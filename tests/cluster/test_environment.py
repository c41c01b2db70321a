"""What of the user's environment reaches the cluster."""

from pathlib import Path

import pytest

from cifar_ray.cluster.environment import joined


def test_what_would_shadow_the_cluster_goes():
    environ = {
        "AWS_ACCESS_KEY_ID": "mine",
        "AWS_SECRET_ACCESS_KEY": "mine",
        "AWS_SESSION_TOKEN": "mine",
        "AWS_PROFILE": "mine",
        "AWS_ENDPOINT_URL": "http://elsewhere",
        "RAY_AUTH_TOKEN": "mine",
        "RAY_ADDRESS": "elsewhere:6379",
        "CIFAR_RAY_STORAGE": "s3://mine",
        "CIFAR_RAY_DATA": "shapes",
        "RAY_memory_usage_threshold": "0.9",
    }
    made = joined(environ, {"CIFAR_RAY_STORAGE": "s3://cifar-ray/results"})
    assert made == {
        "CIFAR_RAY_STORAGE": "s3://cifar-ray/results",
        "CIFAR_RAY_DATA": "shapes",
        "RAY_memory_usage_threshold": "0.9",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def test_relative_folders_become_absolute_and_proxy_exceptions_stay():
    made = joined({"CIFAR_RAY_HOME": "state", "NO_PROXY": "intranet"}, {})
    assert made["CIFAR_RAY_HOME"] == str(Path.cwd() / "state")
    assert made["NO_PROXY"] == "intranet,127.0.0.1,localhost"


@pytest.mark.parametrize("data", ["~no-such-user/cifar10", "x" * 300])
def test_data_that_can_be_no_folder_is_left_to_the_job_to_refuse(data: str) -> None:
    assert joined({"CIFAR_RAY_DATA": data}, {})["CIFAR_RAY_DATA"] == data


@pytest.mark.parametrize("word", ["cifar10", "shapes", "auto"])
def test_data_known_by_name_is_no_folder_of_that_name(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (word, "mine"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    made = [joined({"CIFAR_RAY_DATA": data}, {})["CIFAR_RAY_DATA"] for data in (word, f"./{word}", "mine")]
    assert made == [word, str(tmp_path / word), str(tmp_path / "mine")]
