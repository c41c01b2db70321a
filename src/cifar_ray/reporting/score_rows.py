"""The table of test scores as rows of text, ours beside the report's, for Markdown and terminal alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cifar_ray.records import TestScores
from cifar_ray.reporting.formats import MISSING, percent, setting
from cifar_ray.statistics import CLASSES, summarise_classes
from cifar_ray.studies import STUDIES, PublishedResult

SETTINGS = {
    "model": "model",
    "depth": "depth",
    "optimizer": "optimiser",
    "learning_rate": "learning rate",
    "schedule": "schedule",
    "momentum": "momentum",
    "weight_decay": "weight decay",
    "dropout": "drop-out",
    "batch_norm": "batch norm",
    "xavier": "Xavier",
    "augmentation": "augmentation",
    "seed": "weight seed",
}
"""From the name of a TrialConfig field to what tables call it."""


@dataclass(frozen=True)
class Column:
    """What stands under one heading: a text for each row label."""

    heading: str
    cells: Mapping[str, str]


def score_columns(scores: Sequence[TestScores]) -> tuple[list[str], list[Column]]:
    """Row labels and columns: two for each study, ours and the report's."""
    classes = list(dict.fromkeys(name for each in scores for name in each.accuracy_by_class))
    labels = [
        "data",
        "test images",
        "accuracy",
        "95 % interval",
        "loss",
        *classes,
        "mean of classes",
        "st. dev. of classes",
        "animals",
        "vehicles",
        "validation accuracy",
        "epoch",
        *SETTINGS.values(),
    ]
    columns = []
    for each in scores:
        columns.append(Column(f"{each.study}, ours", _our_cells(each)))
        study = STUDIES.get(each.study)
        if study is not None and study.published is not None:
            columns.append(Column(f"{study.published.column}, report", report_cells(study.published)))
    used = [label for label in labels if any(column.cells.get(label, MISSING) != MISSING for column in columns)]
    return used, columns


def _our_cells(scores: TestScores) -> dict[str, str]:
    low, high = scores.accuracy_interval
    return {
        "data": scores.dataset.name,
        "test images": f"{scores.num_images:,}",
        "accuracy": percent(scores.accuracy, 2),
        "95 % interval": f"{percent(low, 2)} to {percent(high, 2)}",
        "loss": f"{scores.loss:.4f}",
        **{name: percent(value) for name, value in scores.accuracy_by_class.items()},
        "mean of classes": percent(scores.class_mean),
        "st. dev. of classes": percent(scores.class_standard_deviation),
        "animals": percent(scores.animals),
        "vehicles": percent(scores.vehicles),
        "validation accuracy": percent(scores.validation_accuracy, 2),
        "epoch": str(scores.epoch),
        **_setting_cells(scores.config),
    }


def report_cells(published: PublishedResult) -> dict[str, str]:
    """The report's column: its figures, and the averages computed from its classes."""
    summary = summarise_classes(published.accuracy_by_class)
    return {
        "data": "cifar10",
        "test images": "10,000",
        "accuracy": f"{100 * published.test_accuracy:.4g}",
        **{name: percent(published.accuracy_by_class[name]) for name in CLASSES},
        "mean of classes": percent(summary.mean),
        "st. dev. of classes": percent(summary.standard_deviation),
        "animals": percent(summary.animals),
        "vehicles": percent(summary.vehicles),
        "validation accuracy": percent(published.validation_accuracy),
        "epoch": MISSING if published.epoch is None else str(published.epoch),
        **_setting_cells(published.winner),
    }


def _setting_cells(config: Mapping[str, Any]) -> dict[str, str]:
    return {label: setting(name, config) for name, label in SETTINGS.items()}
