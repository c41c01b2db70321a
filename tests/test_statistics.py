import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.statistics import difference_interval, summarise_classes, wilson_interval
from cifar_ray.studies import STUDIES

ROUNDING = 0.0005
"""The report rounds its classes to 0.1 %, so their means carry half of that."""


@pytest.mark.parametrize(
    ("study", "mean", "deviation"),
    # for its third study the report prints 6.0, which its own classes do not give: they give 4.0
    [("cnn", 0.644, 0.108), ("resnet", 0.878, 0.065), ("resnet-schedule", 0.9237, 0.040)],
)
def test_the_reports_classes_give_the_reports_averages(study: str, mean: float, deviation: float) -> None:
    published = STUDIES[study].published
    assert published is not None
    summary = summarise_classes(published.accuracy_by_class)
    assert summary.mean == pytest.approx(mean, abs=2 * ROUNDING)
    assert summary.standard_deviation == pytest.approx(deviation, abs=2 * ROUNDING)


@pytest.mark.parametrize(("study", "animals", "vehicles"), [("cnn", 0.600, 0.709), ("resnet-schedule", 0.905, 0.952)])
def test_the_reports_classes_give_the_reports_groups(study: str, animals: float, vehicles: float) -> None:
    published = STUDIES[study].published
    assert published is not None
    summary = summarise_classes(published.accuracy_by_class)
    assert summary.animals == pytest.approx(animals, abs=2 * ROUNDING)
    assert summary.vehicles == pytest.approx(vehicles, abs=2 * ROUNDING)


def test_other_classes_have_no_groups() -> None:
    summary = summarise_classes({"circle": 0.5, "square": 1.0})
    assert (summary.mean, summary.standard_deviation, summary.animals) == (0.75, 0.25, None)


def test_wilson_interval_against_known_values() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_share(counts: tuple[int, int]) -> None:
    low, high = wilson_interval(*counts)
    assert 0 <= low <= counts[0] / counts[1] + 1e-12
    assert counts[0] / counts[1] - 1e-12 <= high <= 1


def test_wilson_interval_refuses_more_hits_than_images() -> None:
    with pytest.raises(ValueError, match="3 correct of 2"):
        wilson_interval(3, 2)


def test_a_difference_of_proportions_as_newcombe_has_it() -> None:
    """His example (a) of 1998: 56/70 less 48/80."""
    low, high = difference_interval((56, 70), (48, 80))
    assert (low, high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))
    assert difference_interval((48, 80), (56, 70)) == (pytest.approx(-high), pytest.approx(-low))
