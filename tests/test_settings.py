import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.errors import ConfigurationError, without_user
from cifar_ray.settings import WorkerPool, read_settings


def test_defaults() -> None:
    settings = read_settings({})
    assert settings.home == Path.home() / ".cifar-ray"
    assert settings.cache == settings.home / "cache"
    assert (settings.data, settings.storage, settings.ray_address) == (None, None, None)
    assert (settings.s3.endpoint_url, settings.s3.region) == (None, None)


def test_an_empty_variable_counts_as_unset() -> None:
    assert read_settings({"CIFAR_RAY_STORAGE": "", "AWS_REGION": ""}).storage is None


def test_the_s3_endpoint_goes_before_the_general_one() -> None:
    both = {"AWS_ENDPOINT_URL_S3": "http://s3", "AWS_ENDPOINT_URL": "http://all", "AWS_DEFAULT_REGION": "eu-west-1"}
    assert read_settings(both).s3.endpoint_url == "http://s3"
    assert read_settings(both).s3.region == "eu-west-1"


def test_the_region_goes_before_the_default_one() -> None:
    assert read_settings({"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-central-1"}).s3.region == "eu-central-1"


def test_home_moves_the_cache() -> None:
    assert read_settings({"CIFAR_RAY_HOME": "/x"}).cache == Path("/x/cache")


@pytest.mark.parametrize("name", ["CIFAR_RAY_HOME", "CIFAR_RAY_CACHE"])
def test_the_home_of_an_unknown_user_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        read_settings({name: "~no-such-user/x"})


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number of its own."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 5)
    with pytest.raises(ConfigurationError, match="CIFAR_RAY_HOME"):
        read_settings({})
    assert read_settings({"CIFAR_RAY_HOME": "/x"}).home == Path("/x")


def test_a_folder_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"CIFAR_RAY_HOME": "here", "CIFAR_RAY_CACHE": "~/there", "CIFAR_RAY_PRICES": "~/prices.yaml"}
    settings = read_settings(environ)
    assert (settings.home, settings.cache) == (tmp_path / "here", Path.home() / "there")
    assert settings.prices == Path.home() / "prices.yaml"


def test_the_token_and_its_file() -> None:
    settings = read_settings({"RAY_AUTH_TOKEN": "secret", "RAY_AUTH_TOKEN_PATH": "/run/token"})
    assert (settings.ray_auth_token, settings.ray_auth_token_path) == ("secret", Path("/run/token"))


def test_worker_pools_are_read() -> None:
    assert read_settings({}).worker_pools == ()
    found = read_settings({"CIFAR_RAY_POOLS": " gpu-spot:max=4,cpu=3.5,gpu=1  cpu:max=0,cpu=16,gpu=0 "}).worker_pools
    assert [(each.name, each.max_nodes, each.num_cpus, each.num_gpus) for each in found] == [
        ("gpu-spot", 4, 3.5, 1.0),
        ("cpu", 0, 16.0, 0.0),
    ]


@pytest.mark.parametrize(
    "word",
    [
        "gpu",
        "gpu:max=4",
        "gpu:max=-1,cpu=1,gpu=1",
        "gpu:max=1,cpu=nan,gpu=1",
        ":max=1,cpu=1,gpu=1",
        "gpu:max=1,cpu=1,gpu=1,accelerator=",
    ],
)
def test_a_misspelt_worker_pool_is_named(word: str) -> None:
    with pytest.raises(ConfigurationError, match="CIFAR_RAY_POOLS") as caught:
        read_settings({"CIFAR_RAY_POOLS": f"a:max=1,cpu=1,gpu=1 {word}"})
    assert repr(word) in caught.value.message


POOL = st.builds(
    WorkerPool,
    name=st.from_regex(r"[\w.-]+", fullmatch=True),
    max_nodes=st.integers(0, 999_999),
    num_cpus=st.integers(0, 999),
    num_gpus=st.sampled_from([0.0, 0.25, 0.5, 8.0]),
    accelerator=st.just("") | st.from_regex(r"[\w.-]+", fullmatch=True),
)


@given(st.lists(POOL, max_size=3))
def test_pools_there_and_back(pools: list[WorkerPool]) -> None:
    assert list(read_settings({"CIFAR_RAY_POOLS": " ".join(map(str, pools))}).worker_pools) == pools


@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from(["gpu", ":", "max=", "1", ",", "cpu=", "gpu=", "accelerator=", " "])).map("".join)
)
def test_any_pools_are_pools_or_bad_input(text: str) -> None:
    try:
        pools = read_settings({"CIFAR_RAY_POOLS": text}).worker_pools
    except ConfigurationError:
        return
    assert all(isinstance(pool, WorkerPool) for pool in pools)


def test_a_switch_is_on_or_off_or_left_to_the_device() -> None:
    found = [read_settings({"CIFAR_RAY_COMPILE": word}).compiles for word in ("on", "off", "")]
    assert found == [True, False, None]
    with pytest.raises(ConfigurationError, match="CIFAR_RAY_COMPILE"):
        read_settings({"CIFAR_RAY_COMPILE": "yes"})


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        *(("AWS_ENDPOINT_URL_S3", "http://user:SECRETPW@host:9000"), ("AWS_ENDPOINT_URL", "user:SECRETPW@host")),
        *(("CIFAR_RAY_STORAGE", "s3://AKIA1:SECRETPW@bucket/x"), ("CIFAR_RAY_DATA", "s3://AKIA1:SECRETPW@bucket/x")),
    ],
)
def test_keys_in_a_uri_are_refused_and_not_repeated(name: str, uri: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        read_settings({name: uri})
    assert "SECRET" not in caught.value.message
    assert "AWS_SECRET_ACCESS_KEY" in str(caught.value.hint)


@pytest.mark.parametrize("address", ["http://user:SECRETPW@head:8265", "user:SECRETPW@head:8265"])
def test_a_user_in_the_clusters_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ConfigurationError, match="RAY_API_SERVER_ADDRESS") as caught:
        read_settings({"RAY_API_SERVER_ADDRESS": address})
    assert "SECRET" not in caught.value.message
    assert "RAY_AUTH_TOKEN" in str(caught.value.hint)


@pytest.mark.parametrize(
    "uri",
    [
        *("http://me:SE/CRET@host:5000", "http://me:SE?CRET@host", "http://me:SE#CRET@host", "http://me:SE CRET@host"),
        *("http://me:SECRET/@host/x", "https://me@corp:SE/CRET@host", "me:SECRET@host", "http://me:SE\\CRET@host"),
    ],
)
def test_a_password_that_mlflow_would_cut_in_two_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_URI") as caught:
        read_settings({"MLFLOW_TRACKING_URI": uri})
    assert not {"SE", "CRET"} & set(re.findall("SE|CRET", caught.value.message))
    assert "MLFLOW_TRACKING_PASSWORD" in str(caught.value.hint)


@pytest.mark.parametrize(
    "uri",
    [
        *("http://me:SE%2FCRET@host:5000/x", "http://me:SE$!CRET@host", "postgresql+psycopg2://me:SECRET@host/db"),
        *("http://host:5000", "http://host/a@b", "sqlite:////home/me@x/ml.db", "databricks", "./a:b/ml", "me@host"),
        *("http://host:5000/a@b", "http://[::1]:5000/a@b", "file:/home/me@x/ml"),
        "postgresql://me:SECRET@host/db?options=a@b",
    ],
)
def test_what_mlflow_understands_is_left_to_it(uri: str) -> None:
    assert read_settings({"MLFLOW_TRACKING_URI": uri}).mlflow_experiment
    assert not re.search("SE|CRET", without_user(f"no answer from {uri}/api"))
