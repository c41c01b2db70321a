import numpy as np
import pytest

from cifar_ray.reporting.paired import Paired
from cifar_ray.statistics import difference_interval, mcnemar


def test_only_where_they_differ_counts() -> None:
    first, second = [True, True, False, True, False], [True, False, True, False, False]
    paired = Paired.of(first, second)
    assert paired == Paired(num_images=5, only_first=2, only_second=1)
    assert paired.lead == pytest.approx(sum(first) / 5 - sum(second) / 5)
    assert paired.p_value == mcnemar(2, 1) == 1


def test_the_interval_is_that_of_drawing_the_images_again() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random(400) < 0.8, rng.random(400) < 0.7
    paired = Paired.of(first.tolist(), second.tolist())
    rows = rng.integers(0, 400, (4000, 400))
    slow = np.percentile((first[rows].astype(float) - second[rows]).mean(axis=1), (2.5, 97.5))
    assert paired.interval == pytest.approx(slow, abs=0.006)
    assert paired.interval == paired.interval


def test_errors_that_both_make_cancel() -> None:
    """Two models that agree on 97 of 100 images: as of different images their intervals would overlap."""
    low, high = Paired(num_images=10_000, only_first=200, only_second=100).interval
    wide_low, wide_high = difference_interval((8100, 10_000), (8000, 10_000))
    assert 0 < low < 0.01 < high
    assert wide_low < 0 < wide_high
    assert high - low < (wide_high - wide_low) / 3
