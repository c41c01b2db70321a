"""The report's search spaces, written out again from its table."""

from dataclasses import asdict, fields

from cifar_ray.studies import STUDIES, Choice, LogUniform, Range, TrialConfig
from cifar_ray.studies.trial_config import settings_where

SHARED = {
    "learning_rate": LogUniform(1e-4, 1e-2),
    "optimizer": Choice(("adam", "sgd")),
    "weight_decay": LogUniform(0.001, 0.01),
    "augmentation": Choice((False, True)),
}


def test_cnn() -> None:
    study = STUDIES["cnn"]
    assert study.space == {
        **SHARED,
        "dropout": Choice((0.1, 0.3, 0.5)),
        "batch_norm": Choice((False, True)),
        "xavier": Choice((False, True)),
        "seed": Choice((7, 42, 77)),
    }
    assert (study.budget.num_trials, study.budget.max_epochs) == (30, 30)
    assert study.fixed["model"] == "classic_cnn"


def test_resnet() -> None:
    study = STUDIES["resnet"]
    assert study.space == {
        **SHARED,
        "dropout": Choice((0.1, 0.3, 0.5)),
        "seed": Choice((7, 42, 77)),
        "depth": Choice((18, 34)),
    }
    assert (study.budget.num_trials, study.budget.max_epochs) == (30, 30)


def test_resnet_schedule() -> None:
    study = STUDIES["resnet-schedule"]
    assert study.space == {**SHARED, "dropout": Choice((0.0, 0.1, 0.3, 0.5))}
    assert (study.budget.num_trials, study.budget.max_epochs) == (10, 50)
    assert (study.fixed["depth"], study.fixed["schedule"]) == (34, "steps")


PUBLISHED = [study for study in STUDIES.values() if study.published is not None]


def test_three_studies_are_the_reports() -> None:
    assert [study.name for study in PUBLISHED] == ["cnn", "resnet", "resnet-schedule"]


def test_newer_methods_are_off_in_them() -> None:
    newer = {*settings_where(lambda setting: setting.is_method), "width"}
    assert newer == {each.name for each in fields(TrialConfig)} - {
        *("model", "max_epochs", "learning_rate", "optimizer", "weight_decay", "dropout", "momentum", "batch_size"),
        *("seed", "augmentation", "schedule", "batch_norm", "xavier", "depth", "stem"),
    }
    for study in PUBLISHED:
        assert not newer & {*study.space, *study.fixed}


def test_all_share_batch_size_momentum_and_asha() -> None:
    for study in PUBLISHED:
        assert (study.fixed["batch_size"], study.fixed["momentum"]) == (64, 0.9)
        assert asdict(study.budget) | {"grace_period": 1, "reduction_factor": 4} == asdict(study.budget)


def test_the_reports_winners_lie_in_their_spaces() -> None:
    for study in PUBLISHED:
        assert study.published is not None
        for name, value in study.published.winner.items():
            domain = study.space.get(name)
            if isinstance(domain, Choice):
                assert value in domain.values, (study.name, name)
            elif isinstance(domain, Range):
                assert domain.low <= value <= domain.high, (study.name, name)
            else:
                assert study.fixed[name] == value, (study.name, name)
