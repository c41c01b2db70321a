"""Means over seeds, and leads in pairs of one seed."""

import pytest

from cifar_ray.reporting.replicates import Replicates, lead_over_seeds


def replicates(name: str, *found: tuple[int, float]) -> Replicates:
    made = Replicates.of(name, found)
    assert made is not None
    return made


def test_the_mean_is_over_seeds_not_over_sweeps() -> None:
    twice = replicates("a", (0, 0.5), (0, 0.6), (1, 0.65))
    assert (twice.accuracies, twice.num_sweeps) == ({0: pytest.approx(0.55), 1: 0.65}, 3)
    # 12.706 * 0.0707107 / sqrt(2) to each side, but for what no accuracy can be
    assert twice.interval == (0, 1)
    assert twice.text == ("60.00 % in the mean of 3 sweeps of 2 seeds (st. dev. 7.07, 95 % interval 0.00 to 100.00)")
    assert replicates("a", (0, 0.5)).text == "50.00 % (1 sweep)"
    assert replicates("a", (0, 0.5)).standard_deviation is None
    assert Replicates.of("a", []) is None


@pytest.mark.parametrize("swap", [False, True])
def test_the_one_with_the_better_pairs_comes_first_whatever_its_mean(swap: bool) -> None:
    """On the two seeds that both have had the second is better; the first has an easy seed more."""
    one = replicates("a", (0, 0.50), (1, 0.60), (2, 0.99))
    other = replicates("b", (0, 0.55), (1, 0.652))
    assert one.mean > other.mean
    lead = lead_over_seeds(*((other, one) if swap else (one, other)), "the test set")
    assert (lead.first, lead.second, lead.num_pairs, lead.is_clear) == ("b", "a", 2, True)
    assert lead.difference == pytest.approx(0.051)
    # 12.7062 * 0.0014142 / sqrt(2)
    assert lead.interval == pytest.approx((0.051 - 0.0127062, 0.051 + 0.0127062), abs=1e-6)
    assert lead.text == (
        "On the test set b leads a by 5.10 points in the mean of 2 pairs of one seed (95 % interval +3.83 to +6.37)."
    )


def test_what_pairs_cannot_tell() -> None:
    one = replicates("a", (0, 0.50), (1, 0.60))
    close = lead_over_seeds(one, replicates("b", (0, 0.51), (1, 0.58)), "the test set")
    assert (close.is_clear, close.text.partition(":")[0]) == (False, "On the test set a and b are too close to call")
    alike = lead_over_seeds(one, replicates("b", (0, 0.50), (1, 0.60)), "the test set")
    assert (alike.is_clear, alike.interval) == (False, None)
    assert alike.text.endswith(" differ by 0.00 points in each of 2 pairs of one seed, which gives no interval.")
    few = lead_over_seeds(one, replicates("b", (0, 0.7), (3, 0.8)), "the test set")
    assert (few.first, few.interval, few.is_clear) == ("b", None, False)
    assert few.text == "On the test set b and a have 1 pair of one seed: too few to tell them apart."
    none = lead_over_seeds(one, replicates("b", (7, 0.7)), "the test set")
    assert (none.difference, none.text.partition(":")[0]) == (None, "On the test set a and b have 0 pairs of one seed")
