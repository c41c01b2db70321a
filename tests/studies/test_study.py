import dataclasses
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.errors import ConfigurationError, UnknownNameError
from cifar_ray.progress.asha import milestones
from cifar_ray.studies import STUDIES, Budget, Choice, LogUniform, TrialConfig, fits_cohort, get_study
from cifar_ray.studies.study import ADJUSTABLE


@given(st.integers(0, 2**32 - 1))
def test_samples_lie_in_the_space(seed: int) -> None:
    study = STUDIES["cnn"]
    for config in study.with_budget(num_trials=5).sample(seed):
        assert 1e-4 <= config.learning_rate <= 1e-2
        assert config.dropout in (0.1, 0.3, 0.5)
        assert config.max_epochs == 30


@given(
    st.sampled_from([field.name for field in dataclasses.fields(TrialConfig)]),
    st.none() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
)
def test_a_setting_of_any_value_is_a_configuration_or_bad_input(name: str, value: object) -> None:
    values = STUDIES["cnn"].sample(0)[0].to_dict() | {name: value}
    with suppress(ConfigurationError):
        assert TrialConfig.from_dict(values).to_dict() == values or value != value


def test_one_seed_one_sample() -> None:
    study = STUDIES["resnet"]
    assert study.sample(3) == study.sample(3)
    assert study.sample(3) != study.sample(4)


def test_more_trials_keep_the_first_ones() -> None:
    study = STUDIES["cnn"]
    assert study.with_budget(num_trials=40).sample(0)[:30] == study.sample(0)


def test_every_value_of_a_choice_is_drawn() -> None:
    configs = STUDIES["cnn"].with_budget(num_trials=200).sample(0)
    assert {config.seed for config in configs} == {7, 42, 77}
    assert {config.optimizer for config in configs} == {"adam", "sgd"}


@pytest.mark.parametrize("budget", [{"num_trials": 0}, {"num_trials": 200_000}, {"max_epochs": 0}, {"max_epochs": -3}])
def test_budgets_out_of_range(budget: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="out of range"):
        STUDIES["cnn"].with_budget(**budget)


def test_a_grace_period_beyond_the_last_epoch() -> None:
    with pytest.raises(ConfigurationError, match="grace period"):
        Budget(num_trials=1, max_epochs=2, grace_period=3)


def test_a_grace_period_of_all_epochs_cuts_nothing() -> None:
    budget = STUDIES["cnn"].with_budget(max_epochs=5, grace_period=5).budget
    assert milestones(budget) == []
    assert STUDIES["cnn"].with_budget(max_epochs=5).budget.grace_period == 1


@pytest.mark.parametrize("max_epochs", [2, 50])
def test_a_study_that_cuts_no_trial_cuts_none_with_other_epochs_either(max_epochs: int) -> None:
    assert STUDIES["cnn-depth"].with_budget(max_epochs=max_epochs).budget.grace_period == max_epochs
    assert STUDIES["cnn-depth"].with_budget(max_epochs=50, grace_period=4).budget.grace_period == 4


def test_a_grace_period_stays_as_epochs_are_added_and_shrinks_with_them() -> None:
    study = dataclasses.replace(STUDIES["cnn"], budget=Budget(num_trials=4, max_epochs=9, grace_period=3))
    assert [study.with_budget(max_epochs=epochs).budget.grace_period for epochs in (2, 9, 20)] == [2, 3, 3]


def test_finals_are_off_in_the_reports_studies_and_need_seeds() -> None:
    assert {(STUDIES[name].finalists, STUDIES[name].seeds) for name in ("cnn", "resnet", "resnet-schedule")} == {(0, 0)}
    assert STUDIES["fast"].finalists > 0
    for wrong in ({"finalists": 2}, {"finalists": -1, "seeds": 2}, {"finalists": 2, "seeds": 1000}):
        with pytest.raises(ConfigurationError, match="out of range"):
            dataclasses.replace(STUDIES["cnn"], **wrong)


def test_a_run_may_have_other_finals() -> None:
    fast, cnn = STUDIES["fast"], STUDIES["cnn"]
    assert fast.with_seeds(None) is fast
    assert (fast.with_seeds(0).finalists, fast.with_seeds(0).seeds) == (0, 0)
    assert (cnn.with_seeds(3).finalists, cnn.with_seeds(3).seeds) == (2, 3)
    with pytest.raises(ConfigurationError) as caught:
        cnn.with_seeds(-1)
    assert caught.value.hint == "take 0 to 100", "none is a choice"
    assert fast.final_epochs == fast.with_budget(num_trials=3).final_epochs > fast.budget.max_epochs
    assert fast.with_budget(max_epochs=2).final_epochs is None, "a short run has short finals"
    with pytest.raises(ConfigurationError, match="final epochs: 0 is out of range"):
        dataclasses.replace(fast, final_epochs=0)


def test_a_study_has_a_searcher_that_a_run_may_replace() -> None:
    study = STUDIES["cnn"]
    assert {each.searcher for each in STUDIES.values()} == {"random"}
    assert study.with_searcher("tpe").searcher == study.with_searcher("tpe").with_searcher(None).searcher == "tpe"
    with pytest.raises(ConfigurationError, match="unknown searcher 'bohb'"):
        dataclasses.replace(study, searcher="bohb")  # type: ignore[arg-type]  # that is the point


def test_a_setting_that_is_none_or_stands_twice() -> None:
    study = STUDIES["cnn"]
    with pytest.raises(ConfigurationError, match="widht"):
        dataclasses.replace(study, fixed={"widht": 3})
    with pytest.raises(ConfigurationError, match="at once: seed"):
        dataclasses.replace(study, fixed={**study.fixed, "seed": 3})


def test_unknown_study_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        get_study("resnet-shedule")
    assert "resnet-schedule" in str(caught.value.hint)


def test_malformed_domains() -> None:
    with pytest.raises(ConfigurationError):
        Choice(())
    with pytest.raises(ConfigurationError):
        LogUniform(0, 1)


GOOD = {
    "model": "classic_cnn",
    "max_epochs": 3,
    "learning_rate": 0.01,
    "optimizer": "sgd",
    "weight_decay": 0.0,
    "dropout": 0.0,
}


@pytest.mark.parametrize(
    "change",
    [
        {"model": "vgg"},
        {"optimizer": "lion"},
        {"schedule": "later"},
        {"model": "resnet", "depth": 20},
        {"crop_border": "white"},
        {"rate_scaling": "cubic"},
        {"averaging": "mean"},
        {"crop_padding": 5},
        {"cutout": 33},
        {"mixup": -0.1},
        {"mixup": 1e39},
        {"label_smoothing": 1.0},
        {"bias_rate": 0.0},
        {"gradient_clipping": -1.0},
        {"width": 0},
        {"model": "speed_net", "block_depth": 4},
        {"model": "speed_net", "widening": 0.0},
        {"block_depth": 3},
        {"widening": 2.0},
        {"model": "resnet", "flip_equivariant": True},
        {"first_size": 24},
        {"model": "resnet", "first_size": 15},
        {"model": "resnet", "first_size": 33},
        {"alternating_flip": True},
        {"nesterov": True, "momentum": 0.0},
        {"max_epochs": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("inf")},
        {"dropout": 1.0},
        {"momentum": 1.0},
        {"seed": -1},
        {"batch_size": 1},
        {"batch_size": 10**20},
        {"width": 32.5},
        {"width": True},
        {"nesterov": 1},
        {"dropout": "0.1"},
    ],
)
def test_trial_settings_out_of_range_are_named(change: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=list(change)[-1] if "model" in change else next(iter(change))):
        TrialConfig.from_dict({**GOOD, **change})


def test_trial_settings_there_and_back() -> None:
    config = TrialConfig.from_dict(GOOD)
    assert TrialConfig.from_dict(config.to_dict()) == config


def test_unknown_and_missing_trial_settings() -> None:
    with pytest.raises(ConfigurationError, match="colour"):
        TrialConfig.from_dict({**GOOD, "colour": 1})
    with pytest.raises(ConfigurationError, match="model"):
        TrialConfig.from_dict({name: value for name, value in GOOD.items() if name != "model"})


NOT_IN_A_COHORT: list[dict[str, Any]] = [
    {"rotation": False},
    {"crop_padding": 2},
    {"crop_border": "reflected"},
    {"augmentation": True, "alternating_flip": True},
    {"cutout": 8},
    {"mixup": 0.2},
    {"label_smoothing": 0.1},
    {"filter_rate": 0.1},
    {"gradient_clipping": 1.0},
    {"optimizer": "muon"},
    {"model": "resnet"},
]


def test_a_cohort_takes_configurations_that_differ_in_what_its_network_can_differ_in() -> None:
    drawn = get_study("cnn").sample(0)
    assert all(map(fits_cohort, drawn))
    assert fits_cohort(dataclasses.replace(drawn[0], learning_rate=0.5, nesterov=True, averaging="ema"))
    assert fits_cohort(dataclasses.replace(drawn[0], augmentation=True))


@pytest.mark.parametrize("other", NOT_IN_A_COHORT, ids=lambda other: list(other)[-1])
def test_a_cohort_takes_no_configuration_with_what_it_would_ignore(other: dict[str, Any]) -> None:
    assert not fits_cohort(dataclasses.replace(get_study("cnn").sample(0)[0], **other))


def test_a_study_of_another_network_than_the_classic_cnn_trains_in_no_cohort() -> None:
    study = get_study("cnn")
    fixed = {name: value for name, value in study.fixed.items() if name != "model"}
    for change in (
        {"fixed": {**fixed, "model": "resnet"}},
        {"fixed": fixed, "space": {**study.space, "model": Choice(("classic_cnn", "resnet"))}},
    ):
        with pytest.raises(ConfigurationError, match="study cnn: no cohort has resnet"):
            dataclasses.replace(study, **change)
    assert dataclasses.replace(study, fixed=fixed, space={**study.space, "model": Choice(("classic_cnn",))}).is_cohort


def test_what_a_population_may_change_within_a_training() -> None:
    """Neither the network nor its first weights."""
    assert {
        *("learning_rate", "filter_rate", "momentum", "weight_decay", "gradient_clipping"),
        *("dropout", "label_smoothing", "mixup", "cutout"),
    } == ADJUSTABLE
