from dataclasses import replace

import pytest

from cifar_ray.cifar10 import CLASSES
from cifar_ray.records import DatasetRecord, SweepRecord
from cifar_ray.reporting.formats import MISSING, caution, data_name, percent, same_images, seconds, setting


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        *((7.4, "7 s"), (59.6, "1 min 00 s"), (187, "3 min 07 s"), (59.6 * 60, "59 min 36 s"), (3599.7, "1 h 00 min")),
        *((68.9 * 60, "1 h 09 min"), (119.7 * 60, "2 h 00 min"), (125.2 * 60, "2 h 05 min")),
    ],
)
def test_seconds(duration_s: float, text: str) -> None:
    assert seconds(duration_s) == text


def test_percent() -> None:
    assert (percent(0.644), percent(0.9237, 2), percent(None)) == ("64.4", "92.37", MISSING)
    assert percent(0.0) == "0.0"


@pytest.mark.parametrize(
    ("name", "config", "text"),
    [
        ("momentum", {"optimizer": "sgd", "momentum": 0.9}, "0.9"),
        ("momentum", {"optimizer": "adam", "momentum": 0.9}, MISSING),
        ("depth", {"model": "resnet", "depth": 34}, "34"),
        ("depth", {"model": "classic_cnn", "depth": 18}, MISSING),
        ("batch_norm", {"model": "resnet", "batch_norm": False}, MISSING),
        ("xavier", {"model": "classic_cnn", "xavier": True}, "yes"),
        ("learning_rate", {"learning_rate": 0.00260523}, "0.00261"),
        ("dropout", {}, MISSING),
    ],
)
def test_a_setting_that_a_trial_does_not_use_is_missing(name: str, config: dict[str, object], text: str) -> None:
    assert setting(name, config) == text


def test_the_official_archive_needs_no_caution(dataset_record: DatasetRecord) -> None:
    assert caution(dataset_record, "cnn") is None
    assert data_name(dataset_record) == "cifar10"


def test_a_copy_is_cautioned_about_even_under_the_official_name(dataset_record: DatasetRecord) -> None:
    said = caution(replace(dataset_record, source="/data/cifar10"), "cnn")
    assert said is not None
    assert "/data/cifar10" in said
    assert "not the official archive" in said
    assert "with care" in said


@pytest.mark.parametrize("study", ["fast", "of another version"])
@pytest.mark.parametrize("classes", [CLASSES, ("circle", "airplane")])
def test_without_a_column_of_the_report_there_is_none_to_compare_with(
    dataset_record: DatasetRecord, study: str, classes: tuple[str, ...]
) -> None:
    said = caution(replace(dataset_record, source="/data/x", name="x", classes=classes), study)
    assert said is not None
    assert said.startswith("measured on x")
    assert "report" not in said


def test_other_classes_are_not_cifar10(dataset_record: DatasetRecord) -> None:
    shapes = replace(dataset_record, source="shapes", name="shapes", classes=("circle", "airplane"))
    assert data_name(shapes) == "shapes (NOT CIFAR-10)"
    said = caution(shapes, "cnn")
    assert said is not None
    assert "not CIFAR-10" in said
    assert "not comparable" in said


def test_another_sweep_of_the_same_images(sweep_record: SweepRecord) -> None:
    """A share for validation is refused where it is no retraining."""
    assert same_images(sweep_record, is_best_of=True) == ""
    dataset = replace(sweep_record.dataset, source="s3://b/my data", validation_share=0.02)
    other = replace(sweep_record, seed=3, dataset=dataset)
    assert same_images(other) == " --data 's3://b/my data' --seed 3"
    assert same_images(other, is_best_of=True) == " --data 's3://b/my data' --seed 3 --validation-share 0.02"
