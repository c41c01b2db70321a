"""Scores, and a browser, that several tests of reporting share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from browser import offline_page, started_browser
from playwright.sync_api import Browser, Page

from cifar_ray.finals import Finalist, Finals, Retraining
from cifar_ray.records import DatasetRecord, EpochMetrics, SweepRecord, SweepResult, TestScores
from cifar_ray.statistics import summarise_classes, wilson_interval
from cifar_ray.storage.answers import TestAnswers
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import STUDIES


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with offline_page(browser) as page:
        yield page


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
def result(sweep_result: SweepResult) -> SweepResult:
    return replace(sweep_result, wall_s=187.0, accelerator_seconds=3900.0)


@pytest.fixture
def finals_of() -> Callable[..., Finals]:
    """Makes finals of one finalist, which reached these accuracies on seeds 0, 1 and so on."""

    def finals_of(
        trial_id: str, searched_accuracy: float, *accuracies: float | None, outcome: str = "completed"
    ) -> Finals:
        retrainings = tuple(
            Retraining(
                trial_id=f"t{seed:04d}", seed=seed, outcome=outcome, best_epoch=4, best_validation_accuracy=accuracy
            )
            for seed, accuracy in enumerate(accuracies)
        )
        finalist = Finalist(trial_id=trial_id, searched_accuracy=searched_accuracy, retrainings=retrainings)
        return Finals(finalists=(finalist,), num_epochs=8, accelerator_seconds=0.0)

    return finals_of


@pytest.fixture
def put(
    runs: RunStore, sweep_record: SweepRecord, scores: TestScores, epoch_metrics: list[EpochMetrics]
) -> Callable[..., None]:
    """Puts a sweep that differs in what is named from one of four epochs, 0.5 accelerators and 1.5 s each."""

    def put(sweep_id: str, accuracy: float | None = None, **changes: Any) -> None:
        dataset = {
            name: changes.pop(name)
            for name in ("name", "fingerprint", "classes", "validation_share")
            if name in changes
        }
        sweep = replace(sweep_record, sweep_id=sweep_id, dataset=replace(sweep_record.dataset, **dataset), **changes)
        runs.create_sweep(sweep)
        runs.write_metrics(sweep_id, epoch_metrics[:4])
        if accuracy is not None:
            runs.write_test_scores(replace(scores, sweep_id=sweep_id, accuracy=accuracy, dataset=sweep.dataset))

    return put


@pytest.fixture
def answer(runs: RunStore) -> Callable[..., None]:
    """Puts the answers of a sweep that has been scored: the first so many of 10,000 images right, all of one class."""

    def answer(sweep_id: str, num_correct: int, fingerprint: str = "cd" * 32) -> None:
        counts = (num_correct, 10_000 - num_correct)
        found = runs.test_scores(sweep_id)
        assert found is not None
        confusion = (counts + (0,) * 8, *((0,) * 10,) * 9)
        runs.write_test_scores(replace(found, confusion_matrix=confusion, test_fingerprint=fingerprint))
        predicted = [0] * counts[0] + [1] * counts[1]
        runs.write_answers(TestAnswers.pack(sweep_id, fingerprint, [0] * 10_000, predicted))

    return answer
