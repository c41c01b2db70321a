"""The trackers: TensorBoard's files read back, a real MLflow server, W&B's files of a run without its server."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event

from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster.local import LocalCluster
from cifar_ray.cluster.ports import free_ports
from cifar_ray.errors import ConfigurationError
from cifar_ray.provenance import Interruption
from cifar_ray.records import EpochMetrics, SweepRecord
from cifar_ray.settings import read_settings
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning import trackers
from cifar_ray.tuning.epoch_report import to_result
from cifar_ray.tuning.signals import Stopping
from cifar_ray.tuning.trackers import Trackers, check_trackers

ROOT = Path(__file__).parents[2]
MISSING = [name for name in ("mlflow", "flask_cors", "sqlalchemy") if importlib.util.find_spec(name) is None]
HAS_WANDB = importlib.util.find_spec("wandb") is not None
SECRET = "cafe" * 10


@dataclass
class FakeTrial:
    """What Ray Tune's trial has for a callback."""

    name: str
    local_path: Path

    @property
    def config(self) -> dict[str, Any]:
        return {"trial_id": self.name, "settings": {"model": "classic_cnn", "learning_rate": 0.01}}


class Driver:
    """The trackers of one driver, which has their object from Ray Tune's pickled state, told by hand."""

    def __init__(self, runs: RunStore, sweep: SweepRecord, folder: Path) -> None:
        self.said: list[str] = []
        self._folder = folder
        self.trackers: Trackers = pickle.loads(pickle.dumps(Trackers(runs, sweep, print, Stopping())))  # noqa: S301  # our own
        self.trackers._say = self.said.append
        self.trackers.setup()

    def trains(self, *lines: EpochMetrics) -> None:
        trial: Any = FakeTrial(lines[0].trial_id, self._folder)
        self.trackers.on_trial_start(0, [], trial)
        for line in lines:
            self.trackers.on_trial_result(0, [], trial, to_result(line))

    def ends(self, name: str, method: str = "on_trial_complete") -> None:
        getattr(self.trackers, method)(0, [], FakeTrial(name, self._folder))

    def stops(self) -> list[str]:
        self.trackers.on_experiment_end([])
        return self.said


@dataclass(frozen=True)
class MLflowServer:
    url: str

    def call(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def found(self, sweep_id: str) -> list[Any]:
        experiments = self.call("experiments/search", max_results=9)["experiments"]
        ids = [each["experiment_id"] for each in experiments if each["name"] == "cifar-ray"]
        found: dict[str, list[Any]] = self.call(
            "runs/search", experiment_ids=ids, filter=f"tags.sweep_id = '{sweep_id}'"
        )
        return found.get("runs", [])

    def runs(self, sweep_id: str) -> dict[str, Any]:
        """By trial; fails where a trial has two."""
        found = self.found(sweep_id)
        named = {run["info"]["run_name"]: run for run in found}
        assert len(named) == len(found)
        return named

    def history(self, run: Any) -> list[tuple[int, float]]:
        """Of the validation accuracy: step and value."""
        query = f"metrics/get-history?run_id={run['info']['run_id']}&metric_key=validation_accuracy"
        with urllib.request.urlopen(f"{self.url}/api/2.0/mlflow/{query}", timeout=20) as answer:
            return [(int(each["step"]), each["value"]) for each in json.load(answer)["metrics"]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    if MISSING:
        pytest.skip(f"an MLflow server needs {', '.join(MISSING)}")
    folder = tmp_path_factory.mktemp("mlflow")
    (port,) = free_ports(1)
    found = MLflowServer(f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder)]
    environ = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    options: dict[str, Any] = {"env": environ, "start_new_session": True}
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log, **options) as process:
        try:
            wait_for(f"{found.url}/health", process)
            yield found
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with its worker; nobody needs what it has


def wait_for(url: str, process: subprocess.Popen[bytes], deadline_s: float = 90) -> None:
    until = time.monotonic() + deadline_s
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail("the MLflow server has not come up")


@pytest.fixture
def own_environ(own_home: None) -> Iterator[None]:
    """MLflow writes its own variables into the environment, and logs."""
    before = dict(os.environ)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    yield
    os.environ.clear()
    os.environ.update(before)


def read_scalars(content: bytes) -> dict[str, list[tuple[int, float]]]:
    """From tag to steps and values: a file is records of length, its CRC, an event, its CRC."""
    found: dict[str, list[tuple[int, float]]] = {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def accuracies(runs: RunStore, sweep_id: str, trial: str) -> list[tuple[int, float]]:
    content = runs.objects.read(layout.event_file(sweep_id, trial))
    return read_scalars(content)["ray/tune/validation_accuracy"]


def expected(lines: list[EpochMetrics], trial: str) -> list[tuple[int, float]]:
    return [(line.epoch, pytest.approx(line.validation_accuracy)) for line in lines if line.trial_id == trial]


def test_event_files_hold_every_epoch_over_two_drivers(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], tmp_path: Path
) -> None:
    long, short = epoch_metrics[:4], epoch_metrics[4:]
    first = Driver(runs, sweep_record, tmp_path)
    first.trains(*long[:2])
    first.trains(*short)
    first.ends("t0001", "on_trial_error")
    assert first.stops() == []
    assert accuracies(runs, "cnn-1", "t0000") == expected(long[:2], "t0000")
    second = Driver(runs, sweep_record, tmp_path)
    second.trains(*long[:2])
    second.trains(*long)  # lost its process, and was started again
    second.ends("t0000")
    assert second.stops() == []
    assert accuracies(runs, "cnn-1", "t0000") == expected(long, "t0000")
    assert accuracies(runs, "cnn-1", "t0001") == expected(short, "t0001")
    content = runs.objects.read(layout.event_file("cnn-1", "t0000"))
    assert b"learning_rate" in content
    assert b"session_end" in content


def test_a_loss_that_is_not_finite_is_left_out(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], tmp_path: Path
) -> None:
    driver = Driver(runs, sweep_record, tmp_path)
    driver.trains(epoch_metrics[0], replace(epoch_metrics[1], train_loss=None))
    assert driver.stops() == []
    scalars = read_scalars(runs.objects.read(layout.event_file("cnn-1", "t0000")))
    assert [step for step, _ in scalars["ray/tune/train_loss"]] == [1]
    assert [step for step, _ in scalars["ray/tune/validation_loss"]] == [1, 2]


@pytest.mark.usefixtures("own_environ")
def test_mlflow_has_one_run_a_trial_over_two_drivers(
    server: MLflowServer,
    runs: RunStore,
    sweep_record: SweepRecord,
    epoch_metrics: list[EpochMetrics],
    tmp_path: Path,
) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = server.url
    for num_epochs in (2, 4):
        driver = Driver(runs, sweep_record, tmp_path)
        driver.trains(*epoch_metrics[:num_epochs])
        if num_epochs == 4:
            driver.ends("t0000")
        assert driver.stops() == []
    (run,) = server.runs("cnn-1").values()
    assert server.history(run) == expected(epoch_metrics[:4], "t0000")
    assert run["info"]["status"] == "FINISHED"
    assert {"key": "learning_rate", "value": "0.01"} in run["data"]["params"]
    assert {"key": "dataset_sha256", "value": "ab" * 32} in run["data"]["tags"]


@pytest.mark.usefixtures("own_environ")
def test_another_sweep_of_the_same_id_has_runs_of_its_own(
    server: MLflowServer,
    runs: RunStore,
    sweep_record: SweepRecord,
    epoch_metrics: list[EpochMetrics],
    tmp_path: Path,
) -> None:
    """As after the first one was deleted, or in another store."""
    os.environ["MLFLOW_TRACKING_URI"] = server.url
    for year in (2026, 2027):
        sweep = replace(sweep_record, sweep_id="cnn-again", started_at=f"{year}-01-01T00:00:00+00:00")
        driver = Driver(runs, sweep, tmp_path)
        driver.trains(*epoch_metrics[:4])
        assert driver.stops() == []
    histories = [server.history(run) for run in server.found("cnn-again")]
    assert histories == 2 * [expected(epoch_metrics[:4], "t0000")]


def test_a_trials_id_is_the_same_in_its_sweeps_drivers_and_in_no_other_sweep(
    runs: RunStore, sweep_record: SweepRecord, tmp_path: Path
) -> None:
    """W&B knows a run by it."""
    first = replace(sweep_record, sweep_id="c" * 63)
    resumed = replace(first, interruptions=(Interruption(at="2026-01-02T00:00:00+00:00", why="power"),))
    again = replace(first, started_at="2026-01-03T00:00:00+00:00")
    trial: Any = FakeTrial("t0000", tmp_path)
    tracked = [Trackers(runs, each, print, Stopping())._tracked(trial) for each in (first, resumed, again)]
    assert tracked[0] == tracked[1] != tracked[2]
    assert {str(each) for each in tracked} == {"t0000"}
    for each in tracked:
        assert re.fullmatch(r"c{63}-t0000-[0-9]+", each.trial_id)
        assert len(each.trial_id) <= 128


@pytest.mark.skipif("not HAS_WANDB", reason="wandb is not installed")
def test_at_a_stop_the_runs_of_trials_that_still_train_are_told_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else Ray waits in vain for them, and ends them without what they still hold."""
    from cifar_ray.tuning.wandb_runs import WandbLoggerCallback, WandbRuns  # noqa: PLC0415  # an extra

    callback = WandbRuns.__new__(WandbRuns)
    asked: list[Any] = []
    callback._trial_queues = {"t0000": SimpleNamespace(put=asked.append), "t0001": SimpleNamespace(put=asked.append)}
    monkeypatch.setattr(WandbLoggerCallback, "on_experiment_end", lambda own, trials: asked.append("wait"))
    callback.on_experiment_end([])
    assert [getattr(each[0], "name", each) for each in asked] == ["END", "END", "wait"]


@pytest.mark.skipif("mlflow" in MISSING, reason="mlflow is not installed")
@pytest.mark.usefixtures("own_environ")
def test_a_server_that_does_not_answer_costs_a_line_without_its_password(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    os.environ["MLFLOW_TRACKING_URI"] = f"http://me:{SECRET}@127.0.0.1:{port}"
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    driver = Driver(runs, sweep_record, tmp_path)
    driver.trains(*epoch_metrics[:4])
    (said,) = driver.stops()
    assert said.startswith("MLflow gets nothing more, the sweep goes on: MlflowException: ")
    assert SECRET not in said
    assert accuracies(runs, "cnn-1", "t0000") == expected(epoch_metrics[:4], "t0000"), "the others go on"


@pytest.mark.parametrize(("is_told_to", "deadline"), [(False, "CLOSE_DEADLINE_S"), (True, "HURRIED_DEADLINE_S")])
def test_one_that_hangs_keeps_no_sweep_from_ending(
    runs: RunStore,
    sweep_record: SweepRecord,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_told_to: bool,
    deadline: str,
) -> None:
    """Less so one that is told to stop."""
    assert trackers.HURRIED_DEADLINE_S < 5
    monkeypatch.setattr(trackers, deadline, 0.1)
    monkeypatch.setattr(Trackers, "_event_files", lambda own: SimpleNamespace(setup=lambda: released.wait(20)))
    released = threading.Event()
    try:
        driver = Driver(runs, sweep_record, tmp_path)
        driver.trackers._stopping.is_told = is_told_to
        assert driver.stops() == ["TensorBoard has not taken the last epochs within 0.1 s"]
    finally:
        released.set()


@pytest.mark.parametrize(
    ("environ", "mlflow", "wandb"),
    [
        ({}, None, None),
        ({"MLFLOW_TRACKING_URI": "x"}, "cifar-ray", None),
        ({"MLFLOW_TRACKING_URI": "x", "MLFLOW_EXPERIMENT_NAME": "mine"}, "mine", None),
        ({"MLFLOW_EXPERIMENT_NAME": "mine", "WANDB_PROJECT": "mine"}, None, None),
        ({"WANDB_API_KEY": "x"}, None, "cifar-ray"),
        ({"WANDB_MODE": "offline", "WANDB_PROJECT": "mine"}, None, "mine"),
        ({"WANDB_API_KEY": "x", "WANDB_MODE": "disabled"}, None, None),
    ],
)
def test_the_standard_variables_switch_them_on(environ: dict[str, str], mlflow: str | None, wandb: str | None) -> None:
    settings = read_settings(environ)
    assert (settings.mlflow_experiment, settings.wandb_project) == (mlflow, wandb)


def test_a_tracker_that_is_not_installed_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    check_trackers(read_settings({}))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for variable, extra in (("MLFLOW_TRACKING_URI", "mlflow"), ("WANDB_API_KEY", "wandb")):
        with pytest.raises(ConfigurationError, match="not installed") as caught:
            check_trackers(read_settings({variable: "x"}))
        assert f"cifar-ray[{extra}]" in str(caught.value.hint)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_real_sweep_reaches_all_and_leaves_no_secret(cluster: LocalCluster, server: MLflowServer) -> None:
    environ = {
        "MLFLOW_TRACKING_URI": server.url,
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": SECRET,
    }
    if HAS_WANDB:
        environ |= {"WANDB_MODE": "offline", "WANDB_API_KEY": SECRET}
    command = [Path(sys.executable).parent / "ray", "job", "submit", "--working-dir", str(ROOT / "jobs")]
    command += ["--runtime-env-json", json.dumps({"env_vars": environ}), "--", "python", "tune_cnn.py"]
    command += ["--trials", "1", "--max-epochs", "2", "--data", "shapes:500", "--sweep-id", "tracked-1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [line for line in done.stdout.splitlines() if "gets nothing more" in line or "has not taken" in line]
    runs = connect_runs(None)
    metrics, trials = runs.metrics("tracked-1"), [trial.trial_id for trial in runs.trials("tracked-1")]
    tracked = server.runs("tracked-1")
    assert sorted(tracked) == trials == ["t0000"]
    for trial in trials:
        assert accuracies(runs, "tracked-1", trial) == expected(metrics, trial)
        assert server.history(tracked[trial]) == expected(metrics, trial)
    keys = runs.objects.keys("tracked-1")
    if HAS_WANDB:
        assert {key.split("/")[2] for key in keys if "/offline-run-" in key} == {"t0000"}
    assert not [key for key in keys if "experiment_state" in key or key.endswith("tuner.pkl")], "Ray Tune's own"
    for key in keys:
        assert SECRET.encode() not in runs.objects.read(key), key
    assert SECRET not in done.stdout + done.stderr
