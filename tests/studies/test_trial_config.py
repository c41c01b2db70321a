"""A setting as a person writes it."""

import pytest

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies.trial_config import parse_setting


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("cutout=8", ("cutout", 8)),
        ("learning_rate=3e-2", ("learning_rate", 0.03)),
        ("augmentation=True", ("augmentation", True)),
        ("nesterov=false", ("nesterov", False)),
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
        ("nesterov=1", "nesterov must be true or false"),
        ("cutouts=8", "cutout, "),
        ("max_epochs=8", "name=value"),
        ("", "name=value"),
    ],
)
def test_what_sets_nothing_is_refused_with_what_would(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_setting(text)
    assert says in (caught.value.hint or "")
