from dataclasses import replace

from cifar_ray.errors import RecordError
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TestScores
from cifar_ray.reporting.document import render_report
from cifar_ray.storage.runs import RunStore


def test_every_link_of_the_document_is_a_file_of_the_report(
    runs: RunStore,
    sweep_record: SweepRecord,
    epoch_metrics: list[EpochMetrics],
    result: SweepResult,
    scores: TestScores,
) -> None:
    runs.create_sweep(sweep_record)
    runs.write_metrics("cnn-1", epoch_metrics)
    runs.write_result(result)
    files = render_report(runs, [scores], lambda error: error.show())
    assert set(files) == {
        f"cnn-1/report/{name}" for name in ("index.html", "table.md", "figures/curves.png", "figures/confusion.png")
    }
    document = files["cnn-1/report/table.md"].decode()
    assert files["cnn-1/report/index.html"].startswith(b"<!doctype html>")
    for key in (key for key in files if key.endswith(".png")):
        assert f"(../../{key})" in document
        assert files[key].startswith(b"\x89PNG")
    assert "5 epochs" in document


def test_a_sweep_that_cannot_be_read_is_left_out_with_its_error(
    runs: RunStore, sweep_record: SweepRecord, result: SweepResult, scores: TestScores
) -> None:
    runs.create_sweep(sweep_record)
    runs.write_result(result)
    runs.objects.write("cnn-1/metrics.jsonl", b"damaged\n")
    found: list[RecordError] = []
    assert render_report(runs, [scores], found.append) == {}
    assert found[0].message.startswith("no report of sweep cnn-1: cnn-1/metrics.jsonl, line 1: ")


def test_a_sweep_that_cannot_be_costs_the_others_no_report(
    runs: RunStore,
    sweep_record: SweepRecord,
    epoch_metrics: list[EpochMetrics],
    result: SweepResult,
    scores: TestScores,
) -> None:
    for sweep_id, num_trials in (("cnn-1", 2), ("cnn-2", 0)):
        runs.create_sweep(replace(sweep_record, sweep_id=sweep_id, num_trials=num_trials))
        runs.write_metrics(sweep_id, epoch_metrics)
        runs.write_result(replace(result, sweep_id=sweep_id))
    found: list[RecordError] = []
    files = render_report(runs, [replace(scores, sweep_id="cnn-2"), scores], found.append)
    assert {key.partition("/")[0] for key in files} == {"cnn-1"}
    assert [error.message.partition(": ")[0] for error in found] == ["no report of sweep cnn-2"]
