import json
import math
import re
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_ray.cluster.state import LocalCluster
from cifar_ray.errors import RecordError
from cifar_ray.finals import Finals
from cifar_ray.json_record import Record, is_study_name
from cifar_ray.progress.sweep_progress import SweepProgress
from cifar_ray.records import DatasetRecord, EpochMetrics, SweepRecord, SweepResult, TestScores, TrialRecord
from cifar_ray.resource_use import Cost, ResourceUse
from cifar_ray.storage.checkpoints import Manifest
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.lease import LeaseRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import STUDIES

RESULTS = Path(__file__).parents[1] / "docs/results"

accuracies = st.floats(0, 1)
metrics = st.builds(
    EpochMetrics,
    trial_id=st.from_regex(r"t[0-9]{4}", fullmatch=True),
    epoch=st.integers(1, 10_000),
    train_loss=st.none() | st.floats(0, 100),
    train_accuracy=accuracies,
    validation_loss=st.none() | st.floats(0, 100),
    validation_accuracy=accuracies,
    learning_rate=accuracies,
    seconds=st.floats(0, 1e6, exclude_min=True),
)
progress = st.builds(
    SweepProgress,
    elapsed_s=st.integers(0, 10**6).map(float),
    trials=st.integers(0, 10**5),
    running=st.integers(0, 10**5),
    stopped=st.integers(0, 10**5),
    completed=st.integers(0, 10**5),
    diverged=st.integers(0, 10**5),
    failed=st.integers(0, 10**5),
    epochs=st.integers(0, 10**6),
    best_validation_accuracy=st.none() | st.integers(0, 10_000).map(lambda n: n / 10_000),
    best_trial=st.none() | st.from_regex(r"t[0-9]{4}", fullmatch=True),
    dataset=st.sampled_from(["shapes", "cifar10"]),
)


@given(metrics)
def test_metrics_there_and_back(line: EpochMetrics) -> None:
    assert EpochMetrics.from_json(line.to_json(indent=None)) == line


@given(progress)
def test_progress_there_and_back(seen: SweepProgress) -> None:
    assert SweepProgress.from_line(seen.to_line()) == seen


@given(st.text())
def test_any_other_line_is_no_progress(line: str) -> None:
    assert SweepProgress.from_line(line) is None or line.split()[0] == "progress"


@given(st.binary(max_size=200))
def test_rubbish_is_refused(content: bytes) -> None:
    with pytest.raises(RecordError):
        EpochMetrics.from_json(content)


def test_not_a_number_becomes_null(epoch_metrics: list[EpochMetrics]) -> None:
    text = replace(epoch_metrics[0], train_loss=math.nan).to_json()
    assert json.loads(text)["train_loss"] is None
    assert not EpochMetrics.from_json(text).is_finite


def test_nested_records_there_and_back(sweep_record: SweepRecord) -> None:
    assert SweepRecord.from_json(sweep_record.to_json()) == sweep_record


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"outcome": "odd"}, "outcome"),
        ({"num_epochs": "4"}, "num_epochs"),
        ({"num_epochs": True}, "num_epochs"),
        ({"num_epochs": -3}, "num_epochs"),
        ({"num_epochs": 10**400}, "num_epochs"),
        ({"best_validation_accuracy": 5.0}, "best_validation_accuracy"),
        ({"seconds": -1.0}, "seconds"),
        ({"config": []}, "config"),
        ({"new_field": 1}, "new_field"),
    ],
)
def test_a_damaged_record_is_named(trial_record: TrialRecord, change: dict[str, object], names: str) -> None:
    text = json.dumps(json.loads(trial_record.to_json()) | change)
    with pytest.raises(RecordError, match=names) as caught:
        TrialRecord.from_json(text)
    assert "another version" in str(caught.value.hint)


@pytest.mark.parametrize("at", ["", "later", "2026-01-01T00:00:00", "2026-13-01T00:00:00+00:00", "12"])
def test_a_time_that_is_no_instant_is_damage(at: str, sweep_record: SweepRecord, sweep_result: SweepResult) -> None:
    """One without a zone is none either: no other can be subtracted from it."""
    for record, field in ((sweep_record, "started_at"), (sweep_result, "finished_at")):
        values = json.loads(record.to_json())
        with pytest.raises(RecordError, match=f"{field}.*is_instant"):
            type(record).from_json(json.dumps(values | {field: at}))
    for event in ({"interruptions": [{"at": at, "why": ""}]}, {"resumptions": [{"at": at}]}):
        with pytest.raises(RecordError, match="is_instant"):
            SweepRecord.from_json(json.dumps(json.loads(sweep_record.to_json()) | event))


@pytest.mark.parametrize("study", ["", "CNN", "a b", "cnn;touch${IFS}x", "-cnn", "cnn\n", 39 * "a"])
def test_a_study_that_no_file_can_define_is_damage(
    study: str, sweep_record: SweepRecord, sweep_result: SweepResult
) -> None:
    """Its name is part of commands that a person pastes."""
    assert all(map(is_study_name, STUDIES))
    for record in (sweep_record, sweep_result):
        with pytest.raises(RecordError, match=r"study.*is_study_name"):
            type(record).from_json(json.dumps(json.loads(record.to_json()) | {"study": study}))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        *(({name: 0}, name) for name in ("max_epochs", "grace_period")),
        ({"reduction_factor": 1}, "reduction_factor"),
        *(({"hardware": {"cpus": number}}, "hardware") for number in ("many", "nan", "inf", "-1", "")),
        ({"hardware": {"cpus": "2", "accelerators": "A100"}}, "hardware"),
        ({"hardware": {"cpus": "1e300"}}, "hardware"),
        *(({name: share}, name) for name in ("cpus_per_trial", "accelerators_per_trial") for share in (5e-324, 1e300)),
    ],
)
def test_a_sweep_that_cannot_be_is_damage(sweep_record: SweepRecord, change: dict[str, object], names: str) -> None:
    with pytest.raises(RecordError, match=names):
        SweepRecord.from_json(json.dumps(json.loads(sweep_record.to_json()) | change))


def test_finals_for_which_no_trial_was_good_enough_have_none(sweep_record: SweepRecord) -> None:
    """Their record says that the search is over, and is read when the sweep is resumed."""
    finals = replace(sweep_record, sweep_id="cnn-1-finals", parent="cnn-1", num_trials=0)
    assert SweepRecord.from_json(finals.to_json()) == finals


@pytest.mark.parametrize("change", [{"num_trials": 0}, {"grace_period": 9}, {"max_epochs": 2**50}])
def test_a_budget_that_cannot_be_is_damage_of_the_sweep_that_it_names(
    sweep_record: SweepRecord, change: dict[str, Any]
) -> None:
    with pytest.raises(RecordError, match=r"sweep cnn-1: "):
        _ = replace(sweep_record, **change).budget


@pytest.mark.parametrize("change", [{"epoch": 0}, {"ended_at": "soon"}, {"seconds": 0.0}, {"seconds": 1e308}])
def test_a_line_that_cannot_be_is_damage(epoch_metrics: list[EpochMetrics], change: dict[str, object]) -> None:
    with pytest.raises(RecordError, match=next(iter(change))):
        EpochMetrics.from_json(json.dumps(json.loads(epoch_metrics[0].to_json()) | change))


def test_a_data_set_has_images_to_validate_on(sweep_record: SweepRecord) -> None:
    """Every interval divides by their number; a plan has a count for each."""
    for num in (0, 10**9):
        text = sweep_record.to_json().replace(
            f'"num_validation": {sweep_record.dataset.num_validation}', f'"num_validation": {num}'
        )
        with pytest.raises(RecordError, match="num_validation"):
            SweepRecord.from_json(text)


def test_a_missing_field_is_named(trial_record: TrialRecord) -> None:
    values = json.loads(trial_record.to_json())
    del values["trial_id"]
    with pytest.raises(RecordError, match="trial_id"):
        TrialRecord.from_json(json.dumps(values))


STORED = (
    *(DatasetRecord, SweepRecord, TrialRecord, ResourceUse, Cost, SweepResult, TestScores),
    *(LeaseRecord, Manifest, LocalCluster),
)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=40)
def test_whatever_is_stored_is_the_record_or_damage(kind: type[Record], data: st.DataObject) -> None:
    """Fields of the right type by chance, of any other, missing, or none that it has."""
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    values = {
        name: data.draw(st.from_type(hints[name]) if hints.get(name) in (str, int, float) else anything)
        for name in data.draw(st.lists(st.sampled_from([*names, "other"]), unique=True))
    }
    with suppress(RecordError):
        record = kind.from_json(json.dumps(values))
        assert kind.from_json(record.to_json()) == record


@given(anything)
def test_any_json_is_a_record_or_damage(value: object) -> None:
    for kind in STORED:
        with suppress(RecordError):
            kind.from_json(json.dumps(value))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" + 400 * "0", "true", '"1"'])
def test_a_number_that_no_float_holds_is_damage(epoch_metrics: list[EpochMetrics], number: str) -> None:
    text = epoch_metrics[0].to_json().replace('"seconds": 1.5', f'"seconds": {number}')
    with pytest.raises(RecordError, match="seconds"):
        EpochMetrics.from_json(text)


def test_endless_nesting_is_damage() -> None:
    with pytest.raises(RecordError):
        EpochMetrics.from_json("[" * 100_000)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400"])
@pytest.mark.parametrize("name", ["elapsed_s", "best_validation_accuracy"])
def test_progress_of_what_is_not_finite_is_none(name: str, value: str) -> None:
    """JSON has no number for it."""
    line = (
        "progress elapsed_s=1.0 trials=1 running=1 stopped=0 completed=0 diverged=0 failed=0 epochs=0 "
        "best_validation_accuracy=0.5 best_trial=t0000 dataset=x"
    )
    assert SweepProgress.from_line(line) is not None
    assert SweepProgress.from_line(re.sub(rf"{name}=[0-9.]+", f"{name}={value}", line)) is None


def test_progress_survives_a_name_with_blanks() -> None:
    line = SweepProgress(
        elapsed_s=1.0,
        trials=2,
        running=1,
        stopped=1,
        completed=0,
        diverged=0,
        failed=0,
        epochs=3,
        best_validation_accuracy=None,
        best_trial=None,
        dataset="my data",
    ).to_line()
    seen = SweepProgress.from_line(line)
    assert seen is not None
    assert (seen.dataset, seen.ended, seen.best_trial) == ("my_data", 1, None)


@pytest.mark.parametrize(
    "folder", sorted({path.parents[1].relative_to(RESULTS).as_posix() for path in RESULTS.rglob("sweep.json")})
)
def test_every_record_that_is_kept_stays_readable(folder: str) -> None:
    runs = RunStore(FolderStore(RESULTS / folder))
    sweep_ids = runs.sweep_ids()
    assert sweep_ids
    for sweep_id in sweep_ids:
        summary = runs.summary(sweep_id)
        runs.trials(sweep_id)
        runs.metrics(sweep_id)
        runs.use(sweep_id)
        if summary.scores:
            runs.answers(summary.scores)


def test_scores_that_do_not_fit_each_other_are_damage() -> None:
    text = (RESULTS / "fast-20261126-082542-6d4f82a5/evaluation/test_scores.json").read_text()
    values = json.loads(text)
    TestScores.from_json(text)
    rows = values["confusion_matrix"]
    for matrix in (rows[1:], [row[1:] for row in rows], [[-1, *rows[0][1:]], *rows[1:]]):
        with pytest.raises(RecordError, match="confusion_matrix"):
            TestScores.from_json(json.dumps(values | {"confusion_matrix": matrix}))
    with pytest.raises(RecordError, match="corrupted"):
        TestScores.from_json(json.dumps(values | {"robustness": values["robustness"] | {"corrupted": {}}}))


def test_finals_that_cannot_be_are_damage() -> None:
    finals = Finals(finalists=(), num_epochs=-1, accelerator_seconds=0.0)
    with pytest.raises(RecordError, match="num_epochs"):
        Finals.from_json(finals.to_json())
