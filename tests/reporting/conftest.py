"""Scores that several tests of reporting share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cifar_ray.records import DatasetRecord, SweepResult, TestScores, TrialRecord
from cifar_ray.statistics import summarise_classes, wilson_interval
from cifar_ray.studies import STUDIES


@pytest.fixture
def scores(dataset_record: DatasetRecord) -> TestScores:
    """The report's own figures by class, as if our CNN had scored them on 10,000 images."""
    published = STUDIES["cnn"].published
    assert published is not None
    by_class = {name: published.accuracy_by_class[name] for name in dataset_record.classes}
    summary = summarise_classes(by_class)
    hits = [round(1000 * share) for share in by_class.values()]
    rows = [[0] * 10 for _ in hits]
    for index, num_correct in enumerate(hits):
        rows[index][index] = num_correct
        rows[index][(index + 1) % 10] = 1000 - num_correct
    return TestScores(
        sweep_id="cnn-1",
        study="cnn",
        trial_id="t0003",
        epoch=27,
        config=STUDIES["cnn"].sample(0)[0].to_dict()
        | {"optimizer": "sgd", "learning_rate": 0.0039, "weight_decay": 0.006, "dropout": 0.1, "xavier": True},
        validation_accuracy=0.671,
        validation_loss=1.0,
        dataset=dataset_record,
        test_fingerprint="cd" * 32,
        num_images=10_000,
        accuracy=sum(hits) / 10_000,
        accuracy_interval=wilson_interval(sum(hits), 10_000),
        loss=1.0321,
        accuracy_by_class=by_class,
        class_mean=summary.mean,
        class_standard_deviation=summary.standard_deviation,
        animals=summary.animals,
        vehicles=summary.vehicles,
        confusion_matrix=tuple(map(tuple, rows)),
        device="NVIDIA H100",
        commit="abc123",
        versions={"torch": "2.13.0"},
        scored_at="2026-01-01T02:00:00+00:00",
    )


@pytest.fixture
def shapes_scores(scores: TestScores) -> TestScores:
    """Scores on drawn shapes, which are not CIFAR-10."""
    classes = ("circle", "square")
    dataset = replace(scores.dataset, source="shapes", name="shapes", classes=classes)
    return replace(
        scores,
        dataset=dataset,
        accuracy_by_class={"circle": 0.9, "square": 0.7},
        confusion_matrix=((90, 10), (30, 70)),
        animals=None,
        vehicles=None,
    )


@pytest.fixture
def result(trial_record: TrialRecord) -> SweepResult:
    return SweepResult(
        sweep_id="cnn-1",
        study="cnn",
        ranking=("t0000", "t0001"),
        winner=trial_record,
        outcomes={"completed": 1, "stopped": 1},
        num_epochs=5,
        wall_s=187.0,
        accelerator_seconds=3900.0,
        finished_at="2026-01-01T01:00:00+00:00",
    )
