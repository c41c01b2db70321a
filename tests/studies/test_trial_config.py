"""Settings: as a person writes them, and which of them go together."""

from dataclasses import replace
from typing import Any

import pytest

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies.trial_config import TrialConfig, check_effects, parse_setting


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("cutout=8", ("cutout", 8)),
        ("learning_rate=3e-2", ("learning_rate", 0.03)),
        ("augmentation=True", ("augmentation", True)),
        ("nesterov=false", ("nesterov", False)),
        ("nesterov=yes", ("nesterov", True)),
        ("nesterov=no", ("nesterov", False)),
        ("averaging=ema", ("averaging", "ema")),
    ],
)
def test_a_value_is_of_the_settings_type(text: str, setting: tuple[str, object]) -> None:
    assert parse_setting(text) == setting
    assert type(parse_setting(text)[1]) is type(setting[1])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cutout", "name=value"),
        ("cutout=", "cutout must be a whole number"),
        ("averaging=emma", "one of none, ema, lookahead"),
        ("model=resnet", "name=value"),
        ("cutout=8.5", "cutout must be a whole number"),
        ("learning_rate=fast", "learning_rate must be a number"),
        ("nesterov=1", "nesterov must be true, yes, false or no"),
        ("cutouts=8", "did you mean cutout?"),
        ("max_epochs=8", "name=value"),
        ("", "name=value"),
    ],
)
def test_what_sets_nothing_is_refused_with_what_would(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_setting(text)
    assert says in (caught.value.hint or "")


@pytest.mark.parametrize(("name", "value"), [("learning_rate", 10**400), ("mixup", 2**53 + 1), ("max_epochs", 10**400)])
def test_a_record_has_no_number_that_could_not_be_shown(name: str, value: int) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} is 1|^{name} is 9"):
        TrialConfig.from_dict(SPEED_NET.to_dict() | {name: value})


SPEED_NET = TrialConfig(
    model="speed_net", max_epochs=3, learning_rate=1.0, optimizer="muon", weight_decay=0.0, dropout=0.0
)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"dropout": 0.5}, "dropout must be 0 of a speed_net"),
        ({"schedule": "one_cycle", "momentum": 0.5}, "momentum must be 0.9 with one_cycle"),
        ({"flip_equivariant": True, "first_size": 20}, "first_size must be 16, 24 or 32"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_effects([replace(SPEED_NET, **settings)], settings)
    assert says in (caught.value.hint or "")


CNN, RESNET, NF_RESNET = (replace(SPEED_NET, model=each) for each in ("classic_cnn", "resnet", "nf_resnet"))


@pytest.mark.parametrize(
    ("config", "settings", "why"),
    [
        (CNN, {"optimizer": "sgd", "filter_rate": 0.1}, "it is of muon, not of sgd"),
        (CNN, {"optimizer": "adam", "nesterov": True}, "it is of sgd, muon, not of adam"),
        (RESNET, {"xavier": True}, "it is of classic_cnn, not of resnet"),
        (RESNET, {"batch_norm": False}, "it is of classic_cnn, deep_cnn, not of resnet"),
        (NF_RESNET, {"bias_rate": 64.0}, "not of nf_resnet"),
        (CNN, {"bias_rate": 64.0}, "there is no batch norm"),
        (RESNET, {"crop_padding": 2}, "there is no augmentation"),
        (RESNET, {"rotation": False}, "there is no augmentation"),
        (replace(RESNET, max_epochs=1), {"first_size": 24}, "a single epoch's images are not shrunk"),
        (replace(CNN, weight_decay=0.0), {"decays_all": False}, "there is no weight decay"),
        (replace(CNN, batch_size=64), {"rate_scaling": "linear"}, "the rate is for a batch of 64"),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, dict) else "",
)
def test_a_setting_of_other_trials_is_refused(config: TrialConfig, settings: dict[str, Any], why: str) -> None:
    changed = replace(config, **settings)
    with pytest.raises(ConfigurationError, match=f"would do nothing: .*{why}") as caught:
        check_effects([changed], settings)
    assert list(settings)[-1] in (caught.value.hint or "")
    # it was drawn with it: another setting is what was changed
    check_effects([changed], {"cutout"})


def test_of_several_configurations_one_that_the_setting_is_for_is_enough() -> None:
    adam, sgd = (replace(CNN, optimizer=each, momentum=0.8) for each in ("adam", "sgd"))
    check_effects([adam, sgd], {"momentum"})
    with pytest.raises(ConfigurationError, match=r"momentum=0\.8 would do nothing"):
        check_effects([adam, adam], {"momentum"})
    with pytest.raises(ConfigurationError, match="rotation=False would do nothing"):
        check_effects([replace(each, rotation=False) for each in (adam, sgd)], {"momentum", "rotation"})


def test_a_setting_of_its_own_kind_of_trials_is_none_of_others() -> None:
    check_effects([replace(CNN, batch_norm=True, bias_rate=64.0)], {"batch_norm", "bias_rate"})
    check_effects([replace(RESNET, augmentation=True, bias_rate=64.0, rotation=False)], {"bias_rate", "rotation"})
    sped = replace(SPEED_NET, filter_rate=0.1, nesterov=True, widening=2.0)
    check_effects([sped], {"filter_rate", "nesterov", "widening"})


def test_an_image_may_have_any_size_where_flips_do_not_matter() -> None:
    check_effects([replace(SPEED_NET, first_size=20)], {"first_size"})
    check_effects([replace(SPEED_NET, flip_equivariant=True, first_size=20)], {"cutout"})
    for size in (16, 24, 32):
        check_effects([replace(SPEED_NET, flip_equivariant=True, first_size=size)], {"first_size", "flip_equivariant"})
