from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies.duration import read_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d12h", 129_600), ("1.5h", 5400), ("1h30m10s", 5410), ("0.5s", 0.5)],
)
def test_what_people_write(text: str, seconds: float) -> None:
    assert read_duration("time limit", text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "0d0h", "90", "-1h", "1h -5m", "30m2h", "1H", "1e3s", "nan", "inf", "1h\n"])
def test_anything_else_is_refused_with_the_ways_to_write_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match="time limit: ") as caught:
        read_duration("time limit", text)
    assert "2h" in str(caught.value.hint)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_the_parts_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}d{hours}h{minutes}m{seconds}s"
    assert read_duration("time limit", text) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@given(st.text(alphabet="0123456789.dhms -+e", max_size=20) | st.text(max_size=20))
def test_any_text_is_a_length_of_time_or_refused(text: str) -> None:
    with suppress(ConfigurationError):
        assert 0 < read_duration("time limit", text) < float("inf")
