import os
from pathlib import Path

import pytest

from benchmarks.contender import BenchmarkError, Contender
from benchmarks.ours import NullStore
from benchmarks.s3 import running_s3
from benchmarks.sections.checkpoints import CONFIG, warm_up
from benchmarks.setting import Setting
from benchmarks.sleeping import NUM_EPOCHS, run_sleeping
from benchmarks.sweeps import ENVIRON
from benchmarks.throttle import Throttle
from cifar_ray.data.split import TrainingData
from cifar_ray.errors import ObjectNotFoundError


@pytest.fixture
def setting(training_data: TrainingData, tmp_path: Path) -> Setting:
    return Setting(
        data=training_data, seed=0, num_rounds=1, is_quick=True, num_threads=1, log_path=tmp_path / "bench.log"
    )


def describe(data: TrainingData, name: str) -> tuple[int, int, str]:
    return os.getpid(), len(data.train), os.environ[name]


def fail(data: TrainingData) -> None:
    raise ValueError("no such luck")


def end(data: TrainingData) -> None:
    os._exit(3)


@pytest.mark.slow
@pytest.mark.bench
def test_it_runs_functions_on_its_data_in_a_process_of_its_own(setting: Setting) -> None:
    with Contender(setting, environ={"BENCH_MARK": "here"}) as contender:
        first = contender.run(describe, "BENCH_MARK")
        assert first == contender.run(describe, "BENCH_MARK")
    assert first[0] != os.getpid()
    assert first[1:] == (len(setting.data.train), "here")


@pytest.mark.slow
@pytest.mark.bench
def test_what_goes_wrong_there_is_said_here(setting: Setting) -> None:
    with Contender(setting) as contender:
        with pytest.raises(BenchmarkError, match="ValueError: no such luck"):
            contender.run(fail)
        for function in (end, fail):
            with pytest.raises(BenchmarkError, match="its process has ended"):
                contender.run(function)
    assert "Traceback" in setting.log_path.read_text()


def test_the_null_store_keeps_nothing() -> None:
    store = NullStore()
    store.write("a/b", b"content")
    assert store.keys() == []
    with pytest.raises(ObjectNotFoundError):
        store.read("a/b")


@pytest.mark.slow
@pytest.mark.bench
def test_a_training_leaves_its_checkpoints_through_the_throttle(setting: Setting) -> None:
    with running_s3() as s3, Throttle(s3.host, s3.port, 20e6) as throttle:
        environ = {**s3.environ, "AWS_ENDPOINT_URL_S3": throttle.endpoint_url}
        with Contender(setting, environ=environ) as contender:
            assert contender.run(warm_up, CONFIG, 0, 1, s3.storage) > 0


@pytest.mark.slow
@pytest.mark.bench
def test_the_packages_own_sweep_runs_trials_that_sleep(setting: Setting) -> None:
    with Contender(setting, environ=ENVIRON) as contender:
        sleep = contender.run(run_sleeping, 3, 0, 1, True)
    assert sleep.run.num_epochs == 3 * NUM_EPOCHS
    assert 0 < sleep.start_s < sleep.run.seconds
    assert sleep.slept_s < 1
    assert sleep.peak_bytes > 50e6
