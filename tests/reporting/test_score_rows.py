from dataclasses import fields, replace

import pytest

from cifar_ray.cifar10 import CLASSES
from cifar_ray.records import TestScores
from cifar_ray.reporting.score_rows import SETTINGS, report_cells, report_note, score_columns
from cifar_ray.scrutiny import Calibration, Robustness, SeedScore
from cifar_ray.studies import STUDIES, TrialConfig
from cifar_ray.studies.trial_config import NOT_SETTABLE

AVERAGES = ("mean of classes", "st. dev. of classes", "animals", "vehicles")


@pytest.mark.parametrize(
    ("study", "accuracy", "averages"),
    [
        # the report prints 60.0 for the animals: its figures by class give 60.07
        ("cnn", "64.4", ("64.4", "10.8", "60.1", "70.9")),
        ("resnet", "87.8", ("87.8", "6.5", "85.5", "91.1")),
        # the report prints 6.0 for the deviation: its figures by class give 3.96, or 4.18 as of a sample
        ("resnet-schedule", "92.37", ("92.4", "4.0", "90.5", "95.2")),
    ],
)
def test_the_reports_columns(study: str, accuracy: str, averages: tuple[str, ...]) -> None:
    published = STUDIES[study].published
    assert published is not None
    cells = report_cells(published)
    assert cells["accuracy"] == accuracy
    assert tuple(cells[label] for label in AVERAGES) == averages


def test_where_the_report_prints_another_number_the_table_says_so(scores: TestScores) -> None:
    cnn, resnet, schedule = (
        report_note([replace(scores, study=study)]) for study in ("cnn", "resnet", "resnet-schedule")
    )
    assert cnn is not None
    assert resnet is not None
    assert schedule is not None
    assert "60.0" in cnn
    assert "itself prints" not in resnet
    assert "6.0" in schedule
    assert report_note([replace(scores, study="mine")]) is None


def test_every_setting_that_may_be_drawn_or_changed_has_a_row() -> None:
    drawn = {name for study in STUDIES.values() for name in study.space}
    assert drawn | {field.name for field in fields(TrialConfig)} - NOT_SETTABLE <= set(SETTINGS)


def test_classes_stand_in_the_order_of_the_labels(scores: TestScores) -> None:
    labels, _ = score_columns([scores])
    start = labels.index("airplane")
    assert tuple(labels[start : start + 10]) == CLASSES


def test_ours_stands_beside_the_reports(scores: TestScores) -> None:
    _, columns = score_columns([scores, replace(scores, study="resnet", sweep_id="resnet-1")])
    assert [column.heading for column in columns] == ["ours: CNN", "report: CNN", "ours: ResNet", "report: ResNet"]
    ours, report = columns[:2]
    assert {label: ours.cells[label] for label in AVERAGES} == {label: report.cells[label] for label in AVERAGES}
    assert (ours.cells["95 % interval"], report.cells.get("95 % interval")) == ("63.44 to 65.31", None)
    assert (ours.cells["momentum"], ours.cells["Xavier"], report.cells["Xavier"]) == ("0.9", "yes", "no")


def test_two_sweeps_of_a_study_are_told_apart(scores: TestScores) -> None:
    _, columns = score_columns([scores, replace(scores, sweep_id="cnn-2")])
    assert [column.heading for column in columns] == ["ours: CNN (cnn-1)", "ours: CNN (cnn-2)", "report: CNN"]


def test_a_study_that_the_report_lacks_has_no_second_column(scores: TestScores) -> None:
    _, columns = score_columns([replace(scores, study="mine")])
    assert [column.heading for column in columns] == ["ours: mine"]


def test_other_data_show_their_own_classes(shapes_scores: TestScores) -> None:
    labels, columns = score_columns([shapes_scores])
    assert {"circle", "square"} <= set(labels)
    assert "airplane" not in labels
    assert columns[0].cells["circle"] == "90.0"


def test_methods_have_rows_where_they_are_used(scores: TestScores) -> None:
    labels, _ = score_columns([scores])
    assert not {"mixup", "rotation", "averaging", "width", "accuracy, images and mirror images"} & set(labels)
    config = {**scores.config, "mixup": 0.2, "rotation": False, "averaging": "ema"}
    labels, (ours, *_) = score_columns([replace(scores, config=config, accuracy_with_flips=0.7)])
    assert {"mixup", "rotation", "averaging"} <= set(labels)
    assert (ours.cells["mixup"], ours.cells["averaging"]) == ("0.2", "ema")
    assert (ours.cells["accuracy"], ours.cells["accuracy, images and mirror images"]) == ("64.38", "70.00")


def test_luck_calibration_and_robustness_have_rows_of_their_own(scores: TestScores) -> None:
    seeds = tuple(
        SeedScore(trial_id=f"t000{index}", seed=index, epoch=4, validation_accuracy=0.7, accuracy=accuracy)
        for index, accuracy in enumerate((0.60, 0.62, 0.64))
    )
    found = replace(
        scores,
        seeds=seeds,
        calibration=Calibration(temperature=1.234, error=0.0812, scaled_error=0.0121, loss=1.1, scaled_loss=1.0),
        robustness=Robustness(
            num_images=1000, clean=0.65, corrupted={"noise": (0.5, 0.4, 0.3), "blur": (0.6, 0.5, 0.1)}
        ),
    )
    labels, (ours, _) = score_columns([found])
    wanted = {
        "accuracy, mean over seeds": "62.00 (n = 3)",
        "95 % interval over seeds": "57.03 to 66.97",
        "calibration error": "8.12",
        "calibration error, scaled": "1.21",
        "temperature": "1.23",
        "of 1,000: clean": "65.0",
        "of 1,000: noise": "50.0 / 40.0 / 30.0",
        "of 1,000: mean of corrupted": "40.0",
    }
    assert {label: ours.cells[label] for label in wanted} == wanted
    assert set(wanted) <= set(labels)
    assert not set(wanted) & set(score_columns([scores])[0])
