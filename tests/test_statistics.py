import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.statistics import (
    between,
    difference_interval,
    kendall,
    mcnemar,
    mean_interval,
    spearman,
    student_quantile,
    summarise_classes,
    wilson_interval,
)


def test_other_classes_have_no_groups() -> None:
    """Ten of them neither."""
    for size in (1, 5):
        summary = summarise_classes({f"shape {index}": 0.5 + index % 2 / 2 for index in range(2 * size)})
        assert (summary.mean, summary.standard_deviation) == (0.75, 0.25)
        assert (summary.animals, summary.vehicles) == (None, None)


def test_wilson_interval_against_known_values() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_between_two_values_is_numpys_to_the_last_bit(low: float, gap: float, share: float) -> None:
    assert between(low, low + gap, share) == np.quantile([low, low + gap], share)


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


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [
        (1, 12.7062),
        (2, 4.30265),
        (3, 3.18245),
        (4, 2.77645),
        (5, 2.57058),
        (10, 2.22814),
        (30, 2.04227),
        (120, 1.97993),
    ],
)
def test_students_quantiles_as_tables_have_them(degrees: int, quantile: float) -> None:
    assert student_quantile(degrees) == pytest.approx(quantile, abs=5e-5)


def test_the_interval_of_a_mean_holds_it_in_95_of_100_cases() -> None:
    assert mean_interval([0.5]) is None
    assert mean_interval([0.3 - 0.2, 0.2 - 0.1]) is None, "images are counted: by chance, not for certain"
    assert mean_interval([0.1, 0.2, 0.3]) == pytest.approx((0.2 - 4.30265 * 0.1 / 3**0.5, 0.2 + 0.2484139), abs=1e-5)
    rng = random.Random(0)
    intervals = [mean_interval([rng.gauss(0.7, 0.02) for _ in range(3)]) for _ in range(4000)]
    held = sum(interval is not None and interval[0] <= 0.7 <= interval[1] for interval in intervals) / 4000
    assert held == pytest.approx(0.95, abs=0.01)


def test_the_intervals_of_several_comparisons_hold_together() -> None:
    """Of four that are alike none leads the others, in 95 of 100 cases."""
    # the 99.5 % quantile of four degrees of freedom, 4.60409, as tables have it
    assert student_quantile(4, 0.99) == pytest.approx(4.60409, abs=5e-5)
    rng, num_false = random.Random(0), 0
    for _ in range(1000):
        groups = sorted(([rng.gauss(0.7, 0.02) for _ in range(5)] for _ in range(4)), key=lambda each: -sum(each))
        pairs = [[a - b for a, b in zip(groups[0], other, strict=True)] for other in groups[1:]]
        num_false += any((found := mean_interval(pair, 6)) is not None and found[0] > 0 for pair in pairs)
    assert num_false <= 50


def test_mcnemar_against_every_toss_of_the_coins() -> None:
    for num_tosses in range(11):
        tosses = [sum(each) for each in itertools.product((0, 1), repeat=num_tosses)]
        for heads in range(num_tosses + 1):
            as_far_out = [each for each in tosses if abs(each - num_tosses / 2) >= abs(heads - num_tosses / 2)]
            assert mcnemar(heads, num_tosses - heads) == pytest.approx(len(as_far_out) / len(tosses))


def test_mcnemar_on_known_and_large_counts() -> None:
    # Agresti, Categorical Data Analysis, 10.1: 86 and 150, z^2 = 17.36, p = 3.1e-5 (chi-squared)
    assert mcnemar(86, 150) == pytest.approx(3.1e-5, rel=0.2)
    assert mcnemar(5000, 5000) == 1
    assert 0 < mcnemar(400, 600) < 1e-9


def test_rank_correlations_against_known_and_slow_forms() -> None:
    first = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    second = [4, 7, 2, 10, 3, 6, 8, 1, 5, 9]
    pairs = list(itertools.combinations(range(10), 2))
    score = sum(1 if second[b] > second[a] else -1 for a, b in pairs)
    assert kendall(first, second) == pytest.approx(score / 45)
    assert spearman(first, second) == pytest.approx(
        1 - 6 * sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) / (10 * 99)
    )
    assert spearman([1.0, 2.0, 4.0], [0.1, 0.5, 0.6]) == kendall([1.0, 2.0, 4.0], [0.1, 0.5, 0.6]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == kendall([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 1, 1], [1, 2, 3]) is kendall([1, 1, 1], [1, 2, 3]) is None


def test_ties_share_their_ranks() -> None:
    first, second = [1, 2, 2, 3], [1, 3, 2, 4]
    # ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: 4.5 / sqrt(4.5 * 5); five pairs in order, one tie on one side
    assert spearman(first, second) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert kendall(first, second) == pytest.approx(5 / math.sqrt(5 * 6))
