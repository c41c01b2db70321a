import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cifar_ray.errors import RecordError
from cifar_ray.finals import Finals
from cifar_ray.provenance import Interruption, Resumption
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TestScores, TrialRecord
from cifar_ray.reporting.payload import page_payload, sweep_payload, sweep_rows, to_json
from cifar_ray.statistics import wilson_interval
from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.lease import LeaseRecord
from cifar_ray.storage.object_store import MAX_BYTES
from cifar_ray.storage.runs import RunStore


@pytest.fixture
def running(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], trial_record: TrialRecord
) -> RunStore:
    runs.create_sweep(sweep_record)
    runs.write_trial("cnn-1", trial_record)
    runs.write_trial("cnn-1", replace(trial_record, trial_id="t0001", outcome="running", num_epochs=1))
    runs.write_metrics("cnn-1", epoch_metrics)
    return runs


def test_a_sweep_without_result_is_interrupted_unless_a_driver_holds_it(running: RunStore) -> None:
    (row,) = page_payload(running)["sweeps"]
    assert (row["state"], row["outcomes"], row["num_epochs"]) == ("interrupted", {"completed": 1, "running": 1}, 5)
    assert (row["best_trial"], row["best_validation"], row["is_retrained"]) == ("t0000", 0.45, False)
    running.objects.write(layout.lease("cnn-1"), b"{}")
    (row,) = page_payload(running)["sweeps"]
    assert (row["state"], row["silent_since"]) == ("running", None)
    left = LeaseRecord(holder="1", host="head", num_renewals=9, renewed_at="2026-01-01T00:00:00+00:00")
    running.objects.write(layout.lease("cnn-1"), left.to_json().encode())
    (silent,) = page_payload(running)["sweeps"]
    assert silent["silent_since"] == left.renewed_at
    assert (row["wall_s"] > 0, silent["wall_s"]) == (True, None), "up to its last epoch, of which these keep no time"


def test_a_running_trial_has_the_epochs_of_the_metrics(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    """Its own record waits for its end."""
    runs.create_sweep(sweep_record)
    runs.write_trial("cnn-1", TrialRecord(trial_id="t0000", config=trial_record.config, outcome="running"))
    runs.write_metrics("cnn-1", epoch_metrics[:3])
    (row,) = page_payload(runs)["sweeps"]
    detail = sweep_payload(runs, "cnn-1")
    for found in (row, detail["row"]):
        assert (found["num_epochs"], found["best_trial"], found["winner"]) == (3, "t0000", "t0000")
        assert found["best_validation"] == pytest.approx(0.35)
        assert found["accelerator_s"] == pytest.approx(3 * 1.5 * 0.5)
    assert (detail["trials"][0]["num_epochs"], detail["trials"][0]["best_epoch"]) == (3, 3)


def test_an_interrupted_sweep_took_as_long_as_it_lived(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    runs.create_sweep(sweep_record)
    assert page_payload(runs)["sweeps"][0]["wall_s"] is None
    ended = ("2026-01-01T00:02:00+00:00", "2026-01-01T00:01:00+00:00")
    lines = [replace(line, ended_at=at) for line, at in zip(epoch_metrics, ended, strict=False)]
    runs.write_metrics("cnn-1", lines)
    assert page_payload(runs)["sweeps"][0]["wall_s"] == sweep_payload(runs, "cnn-1")["row"]["wall_s"] == 120
    runs.objects.write(layout.lease("cnn-1"), b"{}")
    assert page_payload(runs)["sweeps"][0]["wall_s"] > 1e6


def test_a_sweep_that_went_on_has_pauses(running: RunStore, result: SweepResult) -> None:
    def has_pauses() -> bool:
        found: bool = sweep_payload(running, "cnn-1")["row"]["has_pauses"]
        return found

    interruption = Interruption(at="2026-01-01T00:30:00+00:00", why="a signal")
    assert not has_pauses()
    running.add_interruption("cnn-1", interruption)
    assert not has_pauses(), "it has only ended so far"
    running.objects.write(layout.lease("cnn-1"), b"{}")
    assert has_pauses()
    running.objects.delete(layout.lease("cnn-1"))
    running.add_interruption("cnn-1", interruption)
    assert has_pauses()
    running.write_result(result)
    assert has_pauses()


def test_what_a_resumed_sweep_went_on_with_is_told(running: RunStore, trial_record: TrialRecord) -> None:
    sweep = running.sweep("cnn-1")
    hardware = {**sweep.hardware, "cpu_model": "another"}
    later = Resumption(at="2026-01-02T00:00:00+00:00", commit="def", versions=sweep.versions, hardware=hardware)
    running.add_resumption("cnn-1", later)
    # by a version that has one more setting
    running.write_trial(
        "cnn-1", replace(trial_record, trial_id="t0001", config={**trial_record.config, "first_size": 32})
    )
    detail = sweep_payload(running, "cnn-1")
    assert detail["row"]["has_pauses"]
    assert detail["sweep"]["commits"] == [sweep.commit, "def"]
    assert detail["sweep"]["resumed"] == ["at 2026-01-02T00:00:00+00:00: commit def, cpu_model another"]
    assert "first_size" not in [each["name"] for each in detail["parameters"]], "the others have its default"


def test_finals_are_told_while_they_run(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    runs.create_sweep(replace(sweep_record, num_finalists=1, num_seeds=2))
    assert sweep_payload(runs, "cnn-1")["finals"] is None
    finals, name = runs.finals("cnn-1"), layout.finals("cnn-1")
    finals.create_sweep(replace(sweep_record, sweep_id=name, max_epochs=8, parent="cnn-1"))
    runs.objects.write(layout.lease("cnn-1"), b"{}")
    finals.write_trial(name, trial_record)
    finals.write_trial(name, TrialRecord(trial_id="t0001", config=trial_record.config, outcome="running"))
    finals.write_metrics(name, epoch_metrics)
    found = sweep_payload(runs, "cnn-1")["finals"]
    assert found["text"] == "2 trainings of 8 epochs: 5 of 16 epochs so far."
    assert found["rows"] == [["t0000", "completed", "4", "45.00"], ["t0001", "running", "1", "10.00"]]
    assert len(found["heading"]) == 4
    assert sweep_payload(runs, "cnn-1")["row"]["num_epochs"] == page_payload(runs)["sweeps"][0]["num_epochs"] == 5
    assert page_payload(finals)["sweeps"][0]["state"] == "running", "by the driver of their sweep"
    runs.objects.delete(layout.lease("cnn-1"))
    assert page_payload(finals)["sweeps"][0]["state"] == "interrupted"
    assert sweep_payload(runs, "cnn-1")["finals"]["rows"][1][1] == "interrupted"


def test_finished_then_evaluated(running: RunStore, result: SweepResult, scores: TestScores) -> None:
    running.write_result(result)
    assert page_payload(running)["sweeps"][0]["state"] == "finished"
    running.write_test_scores(replace(scores, accuracy_with_flips=0.7))
    detail = sweep_payload(running, "cnn-1")
    assert detail["row"]["test"] == {"accuracy": scores.accuracy, "interval": scores.accuracy_interval}
    assert detail["finals"] is None
    assert detail["row"]["state"] == "evaluated"
    assert detail["row"]["wall_s"] == 187.0
    intervals = detail["evaluation"]["class_intervals"]
    assert list(intervals) == list(scores.accuracy_by_class)
    # Wilson's, of 415 of 1,000
    assert intervals["cat"] == pytest.approx((0.384843, 0.445807), abs=1e-6)
    assert detail["evaluation"]["report"]["by_class"]["cat"] == 0.415


def test_the_winner_is_whom_the_finals_chose_and_the_test_set_has_scored(
    running: RunStore, result: SweepResult, scores: TestScores, finals_of: Callable[..., Finals]
) -> None:
    assert page_payload(running)["sweeps"][0]["winner"] == "t0000"
    running.write_result(replace(result, finals=finals_of("t0001", 0.44, 0.5)))
    row = sweep_payload(running, "cnn-1")["row"]
    assert (row["best_trial"], row["winner"]) == ("t0000", "t0001")
    assert (row["best_validation"], row["num_validation"], row["is_retrained"]) == (0.5, 5000, True)
    assert row["best_interval"] == wilson_interval(2250, 5000), "of the search's best"
    running.write_test_scores(replace(scores, trial_id="t0001"))
    assert sweep_payload(running, "cnn-1")["row"]["winner"] == "t0001"


def test_finals_are_told_in_words_and_rows(
    running: RunStore, result: SweepResult, finals_of: Callable[..., Finals]
) -> None:
    running.write_result(replace(result, finals=finals_of("t0000", 0.45, 0.4, outcome="failed")))
    found = sweep_payload(running, "cnn-1")["finals"]
    assert found["text"].startswith("finals: t0000 wins with a mean validation accuracy of 40.00 %")
    assert found["rows"] == [["t0000", "45.00", "1, 1 broke off", "40.00", "–", "5.00"]]
    assert len(found["heading"]) == 6


def test_the_curves_are_those_of_the_records(running: RunStore, epoch_metrics: list[EpochMetrics]) -> None:
    columns = sweep_payload(running, "cnn-1")["metrics"]
    for line in epoch_metrics:
        index = columns[line.trial_id]["epoch"].index(line.epoch)
        for name in ("train_accuracy", "validation_accuracy", "train_loss", "validation_loss", "seconds"):
            assert columns[line.trial_id][name][index] == pytest.approx(getattr(line, name), rel=1e-5)


def test_a_setting_that_all_trials_have_is_sent_once(running: RunStore, trial_record: TrialRecord) -> None:
    for index, config in enumerate(({"momentum": 0.9, "batch_norm": True}, {"momentum": 0.9, "batch_norm": 1})):
        running.write_trial("cnn-1", replace(trial_record, trial_id=f"t000{index}", config=config))
    detail = sweep_payload(running, "cnn-1")
    assert detail["alike"]["config"] == {"momentum": 0.9}
    assert [trial["config"] for trial in detail["trials"]] == [{"batch_norm": True}, {"batch_norm": 1}]
    assert [trial["settings"]["batch_norm"] for trial in detail["trials"]] == ["yes", "1"]


def test_only_whole_checkpoints_are_named(running: RunStore) -> None:
    store = CheckpointStore(running.objects, "cnn-1", "t0000")
    store.save(Checkpoint(epoch=4, validation_accuracy=0.45, config={}, weights=b"w", trainer_state=b"s"))
    running.objects.write(f"{layout.checkpoint('cnn-1', 't0000', 3)}/{layout.WEIGHTS}", b"half")
    first, second = sweep_payload(running, "cnn-1")["trials"]
    assert (first["checkpoints"], second["checkpoints"]) == ([4], [])


def test_a_sweep_that_cannot_be_read_is_a_row_of_its_own(running: RunStore) -> None:
    running.objects.write(layout.sweep_record("broken-1"), b"{")
    rows = {row["id"]: row for row in page_payload(running)["sweeps"]}
    assert rows["broken-1"]["state"] == "unreadable"
    assert rows["broken-1"]["problem"].startswith("broken-1/sweep.json: SweepRecord: Invalid JSON")
    assert rows["cnn-1"]["num_trials"] == 2


def test_a_sweep_that_is_deleted_while_all_are_read_has_no_row(
    running: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "sweep_ids", lambda: ["a-1", "cnn-1"])
    assert [row["id"] for row in sweep_rows(running)] == ["cnn-1"]


def test_what_is_not_finite_becomes_null(running: RunStore, epoch_metrics: list[EpochMetrics]) -> None:
    diverged = replace(epoch_metrics[0], train_loss=float("nan"), validation_loss=float("inf"))
    running.write_metrics("cnn-1", [diverged])
    columns = json.loads(to_json(sweep_payload(running, "cnn-1")))["metrics"]["t0000"]
    assert columns["train_loss"] == columns["validation_loss"] == [None]


def test_rungs_end_before_the_last_epoch(running: RunStore) -> None:
    assert sweep_payload(running, "cnn-1")["rungs"] == [1], "not 4, its last epoch"


@pytest.mark.parametrize("num_validation", [-3, 10**400])
def test_a_record_of_what_cannot_be_leaves_the_other_sweeps(
    running: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, num_validation: int
) -> None:
    odd = json.loads(sweep_record.to_json())
    odd["dataset"]["num_validation"] = num_validation
    running.objects.write("cnn-2/sweep.json", json.dumps(odd).encode())
    running.create_sweep(replace(sweep_record, sweep_id="cnn-3"))
    running.write_trial("cnn-3", replace(trial_record, best_validation_accuracy=5.0))
    rows = {row["id"]: row for row in page_payload(running)["sweeps"]}
    assert {name: row["state"] for name, row in rows.items()} == {
        "cnn-1": "interrupted",
        "cnn-2": "unreadable",
        "cnn-3": "unreadable",
    }
    assert "num_validation" in rows["cnn-2"]["problem"]
    assert "best_validation_accuracy" in rows["cnn-3"]["problem"]


def test_what_is_no_record_leaves_the_other_sweeps(
    running: RunStore, tmp_path: Path, sweep_record: SweepRecord, trial_record: TrialRecord
) -> None:
    running.create_sweep(replace(sweep_record, sweep_id="cnn-2"))
    running.write_trial("cnn-2", replace(trial_record, best_validation_accuracy=5.0))
    for sweep_id in ("cnn-3", "cnn-4", "cnn-5"):
        (tmp_path / "store" / sweep_id).mkdir()
    os.mkfifo(tmp_path / "store/cnn-3/sweep.json")
    (tmp_path / "store/cnn-4/sweep.json").symlink_to(tmp_path / "store/cnn-1/sweep.json")
    with (tmp_path / "store/cnn-5/sweep.json").open("wb") as file:
        file.truncate(MAX_BYTES[".json"] + 1)
    (tmp_path / "store/cnn-6").symlink_to(tmp_path / "store/cnn-1")
    rows = {row["id"]: row for row in page_payload(running)["sweeps"]}
    assert rows.pop("cnn-1")["state"] == "interrupted"
    assert {name: row["state"] for name, row in rows.items()} == {
        f"cnn-{number}": "unreadable" for number in range(2, 6)
    }
    for sweep_id, why in (("cnn-3", "no file"), ("cnn-4", "link"), ("cnn-5", "at most 16")):
        assert why in rows[sweep_id]["problem"]
    with pytest.raises(RecordError, match=r"'cnn-6' in folder .* is a symbolic link"):
        running.sweep("cnn-6")
