"""What the evaluation's job says and leaves, without a cluster."""

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import ray
from click.testing import CliRunner
from job_commands import ROOT

from cifar_ray.capacity import NodeKind
from cifar_ray.data.sources import load_images
from cifar_ray.data.split import split
from cifar_ray.errors import StorageError, StoreUnavailableError
from cifar_ray.evaluation import scoring
from cifar_ray.models import build_model
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TrialRecord
from cifar_ray.settings import read_settings
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study
from cifar_ray.training.state import pack_weights
from cifar_ray.tuning import nodes, remote


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> click.Command:
    """The job, which takes this process for its cluster."""
    monkeypatch.setattr(ray, "init", lambda **options: None)
    monkeypatch.setattr(
        nodes, "read_node_kinds", lambda pools: [NodeKind(name="head", resources={"CPU": 1.0}, max_nodes=1)]
    )
    monkeypatch.setattr(remote, "_run_on_best_node", lambda kinds, end, function, *arguments: function(*arguments))
    command: click.Command = runpy.run_path(str(ROOT / "jobs" / "evaluate_best.py"))["evaluate_best"]
    return command


def test_a_store_without_a_finished_sweep_is_told_of_with_the_command_for_one(
    tmp_path: Path, command: click.Command
) -> None:
    done = CliRunner().invoke(command, ["--storage", str(tmp_path)])
    assert done.exit_code == 2
    assert f"no finished sweep in {tmp_path}\nhint: finish one first, such as `cifar-ray job submit cnn`" in done.stderr


@pytest.fixture
def three_sweeps(
    runs: RunStore,
    sweep_record: SweepRecord,
    trial_record: TrialRecord,
    epoch_metrics: list[EpochMetrics],
    sweep_result: SweepResult,
) -> RunStore:
    """Finished ones of three studies; the winner of b-1 alone has weights."""
    trial = replace(trial_record, config=get_study("cnn").with_budget(num_trials=1).sample(0)[0].to_dict())
    data = split(load_images("shapes:500", "train", read_settings()), seed=0)
    for sweep_id, study in (("a-1", "cnn"), ("b-1", "cnn-depth"), ("c-1", "cnn-ema")):
        record = replace(sweep_record, sweep_id=sweep_id, study=study, dataset=data.record)
        runs.create_sweep(record)
        runs.write_trial(sweep_id, trial)
        runs.write_metrics(sweep_id, epoch_metrics)
        runs.write_result(replace(sweep_result, sweep_id=sweep_id, study=study, winner=trial))
    give_weights(runs, "b-1")
    return runs


def give_weights(runs: RunStore, sweep_id: str) -> None:
    config = get_study("cnn").with_budget(num_trials=1).sample(0)[0]
    weights: Any = pack_weights(build_model(config).state_dict())
    CheckpointStore(runs.objects, sweep_id, "t0000").save(
        Checkpoint(epoch=4, validation_accuracy=0.4, config=config.to_dict(), weights=weights, trainer_state=b"")
    )


def test_a_winner_without_weights_keeps_no_other_from_its_score_and_report(
    three_sweeps: RunStore, command: click.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = three_sweeps
    done = CliRunner().invoke(command, ["--storage", runs.objects.uri])
    assert done.exit_code == 1, done.output
    assert "error: trial t0000 of sweep a-1 has no complete checkpoint left" in done.stderr
    assert "error: trial t0000 of sweep c-1 has no complete checkpoint left" in done.stderr
    assert f"report: {runs.objects.uri}/b-1/report/index.html\n" in done.output
    scores = runs.test_scores("b-1")
    assert scores is not None
    assert runs.objects.read("b-1/report/index.html")

    # the test set is opened once: a second evaluation gives the stored scores back
    monkeypatch.setattr(scoring, "load_images", None)
    again = CliRunner().invoke(command, ["b-1", "--storage", runs.objects.uri])
    assert again.exit_code == 0, again.output
    assert runs.test_scores("b-1") == scores


def test_records_that_cannot_be_read_hide_no_scores_and_keep_no_other_from_its_report(
    three_sweeps: RunStore, command: click.Command
) -> None:
    runs = three_sweeps
    give_weights(runs, "c-1")
    runs.objects.write("c-1/trials/t0001/trial.json", b'{"of": "a newer version"}')
    done = CliRunner().invoke(command, ["--storage", runs.objects.uri])
    assert done.exit_code == 1, done.output
    assert "error: trial t0000 of sweep a-1 has no complete checkpoint left" in done.stderr
    assert "error: no report of sweep c-1: c-1/trials/t0001/trial.json: " in done.stderr
    table, _, after = done.stdout.partition("report: ")
    assert after == f"{runs.objects.uri}/b-1/report/index.html\n"
    assert table.index("cnn-depth") < table.index("cnn-ema"), "the scores of both"
    assert [key for key in runs.objects.keys("c-1") if "/report/" in key] == []
    assert b"c-1" not in runs.objects.read("b-1/report/table.md")
    page = runs.objects.read("b-1/report/index.html")
    assert (b'"b-1"' in page, b'"c-1"' in page) == (True, False)


def test_a_store_that_takes_no_report_hides_no_scores_and_no_failure(
    three_sweeps: RunStore, command: click.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(store: FolderStore, key: str, content: bytes) -> None:
        if "/report/" in key:
            raise StorageError("no room")
        write_plainly(store, key, content)

    write_plainly = FolderStore.write
    monkeypatch.setattr(FolderStore, "write", write)
    done = CliRunner().invoke(command, ["a-1", "b-1", "--storage", three_sweeps.objects.uri])
    assert done.exit_code == 1, done.output
    assert "cnn-depth" in done.stdout
    assert "report: " not in done.stdout
    assert done.stderr == (
        "error: no room\nerror: trial t0000 of sweep a-1 has no complete checkpoint left\n"
        "hint: a copy has weights where `cifar-ray results pull` was told --checkpoints; if the store's are gone or "
        "damaged, train again: `cifar-ray job submit STUDY --best-of SWEEP`\n"
    )


def test_a_report_waits_for_the_store(
    three_sweeps: RunStore, command: click.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []

    def write(store: FolderStore, key: str, content: bytes) -> None:
        if "/report/" in key and not refused:
            refused.append(key)
            raise StoreUnavailableError("no answer")
        write_plainly(store, key, content)

    write_plainly = FolderStore.write
    monkeypatch.setattr(FolderStore, "write", write)
    done = CliRunner().invoke(command, ["b-1", "--storage", three_sweeps.objects.uri])
    assert done.exit_code == 0, done.output
    assert three_sweeps.objects.read(refused[0])


def test_scores_are_told_in_any_locale(three_sweeps: RunStore, command: click.Command) -> None:
    """The report's column lacks figures, and Latin-1 the dash that stands for them."""
    give_weights(three_sweeps, "a-1")
    done = CliRunner(charset="latin-1").invoke(command, ["a-1", "--storage", three_sweeps.objects.uri])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "report: " in done.stdout
    assert "?" in done.stdout
