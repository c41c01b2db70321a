"""Builds the table of test scores, ours beside the report's, as text for Markdown and terminal alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from cifar_ray.cifar10 import CLASSES
from cifar_ray.errors import plain
from cifar_ray.records import TestScores
from cifar_ray.reporting.formats import MISSING, REPORTED, interval_text, percent, setting
from cifar_ray.statistics import mean_accuracy_interval, summarise_classes
from cifar_ray.studies import PublishedResult
from cifar_ray.studies.trial_config import DESCRIPTIONS

SETTINGS = {name: described.label for name, described in DESCRIPTIONS.items() if described.label}
"""From the name of a TrialConfig field to what tables call it."""


def setting_label(name: str) -> str:
    """What tables call a setting."""
    return SETTINGS.get(name, name.replace("_", " "))


REPORT_DIFFERS = {
    "cnn": "60.0 for the animals of its CNN",
    "resnet-schedule": "6.0 for the standard deviation between classes of its ResNet + schedule",
}
"""By study: what the report prints where it differs from the average of its own figures by class."""


@dataclass(frozen=True)
class Column:
    """A heading, and under it a text for each row label."""

    heading: str
    cells: Mapping[str, str]


def score_columns(scores: Sequence[TestScores]) -> tuple[list[str], list[Column]]:
    """Row labels and columns: two for each study, ours and the report's."""
    blocks = zip(*map(_our_blocks, scores), strict=True)
    labels = [*dict.fromkeys(label for block in blocks for cells in block for label in cells), *SETTINGS.values()]
    by_study: dict[str, list[TestScores]] = {}
    for each in scores:
        by_study.setdefault(each.study, []).append(each)
    columns = []
    for study, group in by_study.items():
        published = REPORTED.get(study)
        name = published.column if published else plain(study)
        for each in group:
            which = f" ({plain(each.sweep_id)})" if len(group) > 1 else ""
            columns.append(Column(f"ours: {name}{which}", _our_cells(each)))
        if published:
            columns.append(Column(f"report: {name}", report_cells(published)))
    used = [label for label in labels if any(column.cells.get(label, MISSING) != MISSING for column in columns)]
    return used, columns


def report_note(scores: Sequence[TestScores]) -> str | None:
    """How the averages in the report's columns were computed, and where it prints others; None without such columns."""
    studies = {each.study for each in scores}
    if studies.isdisjoint(REPORTED):
        return None
    note = "The report's averages, standard deviation (population) and groups are computed from its figures by class."
    differing = [text for study, text in REPORT_DIFFERS.items() if study in studies]
    return f"{note} The report itself prints {', and '.join(differing)}." if differing else note


def _our_cells(scores: TestScores) -> dict[str, str]:
    blocks = [*_our_blocks(scores), _setting_cells(scores.config)]
    return {label: cell for block in blocks for label, cell in block.items()}


def _our_blocks(scores: TestScores) -> list[dict[str, str]]:
    """A column's cells but for the settings, in the order of the rows; some records lack all or part of a block."""
    head = {
        "data": plain(scores.dataset.name),
        "test images": f"{scores.num_images:,}",
        "accuracy": percent(scores.accuracy, 2),
        "95 % interval": interval_text(scores.accuracy_interval),
        "loss": f"{scores.loss:.4f}",
        "accuracy, images and mirror images": percent(scores.accuracy_with_flips, 2),
        **_seed_cells(scores),
    }
    groups = {
        "mean of classes": percent(scores.class_mean),
        "st. dev. of classes": percent(scores.class_standard_deviation),
        "animals": percent(scores.animals),
        "vehicles": percent(scores.vehicles),
    }
    choice = {"validation accuracy": percent(scores.validation_accuracy, 2), "epoch": str(scores.epoch)}
    by_class = {name: percent(value) for name, value in scores.accuracy_by_class.items()}
    return [head, by_class, groups, _calibration_cells(scores), _robustness_cells(scores), choice]


def mean_text(accuracies: Sequence[float]) -> str:
    """`62.00 (n = 3)`; MISSING where there are none."""
    return f"{percent(fmean(accuracies), 2)} (n = {len(accuracies)})" if accuracies else MISSING


def _seed_cells(scores: TestScores) -> dict[str, str]:
    """The rows for a winner that was trained on several seeds."""
    accuracies = [each.accuracy for each in scores.seeds]
    return {
        "accuracy, mean over seeds": mean_text(accuracies),
        "95 % interval over seeds": interval_text(mean_accuracy_interval(accuracies)),
    }


def _calibration_cells(scores: TestScores) -> dict[str, str]:
    if scores.calibration is None:
        return {}
    return {
        "calibration error": percent(scores.calibration.error, 2),
        "calibration error, scaled": percent(scores.calibration.scaled_error, 2),
        "temperature": f"{scores.calibration.temperature:.2f}",
    }


def _robustness_cells(scores: TestScores) -> dict[str, str]:
    """The same images clean, then with each corruption, from its mildest severity to its worst."""
    if scores.robustness is None:
        return {}
    of = f"of {scores.robustness.num_images:,}"
    return {
        f"{of}: clean": percent(scores.robustness.clean),
        **{
            f"{of}: {plain(name)}": " / ".join(map(percent, accuracies))
            for name, accuracies in scores.robustness.corrupted.items()
        },
        f"{of}: mean of corrupted": percent(scores.robustness.mean),
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
