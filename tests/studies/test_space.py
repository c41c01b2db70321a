"""Draws from a search space, and neighbours in it."""

import math
import random

import pytest

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies.space import Choice, LogUniform, Range


def test_a_listed_value_goes_to_a_neighbour() -> None:
    rng, choice = random.Random(0), Choice((0.1, 0.3, 0.5))
    near = {value: {choice.draw_near(value, rng) for _ in range(50)} for value in choice.values}
    assert near == {0.1: {0.3}, 0.3: {0.1, 0.5}, 0.5: {0.3}}
    assert Choice((7,)).draw_near(7, rng) == 7
    # a value that is there twice, to be drawn more often, is no neighbour of itself
    assert {Choice((0.1, 0.1, 0.1, 0.3)).draw_near(0.1, rng) for _ in range(50)} == {0.3}


@pytest.mark.parametrize(("value", "near"), [(1.0, {0.8, 1.25}), (0.5, {0.625}), (2.0, {1.6})])
def test_a_number_goes_down_or_up_and_stays_within_its_bounds(value: float, near: set[float]) -> None:
    rng = random.Random(0)
    assert {LogUniform(0.5, 2.0).draw_near(value, rng) for _ in range(50)} == near
    assert {LogUniform(1.0, 1.1).draw_near(1.05, rng) for _ in range(50)} == {1.0, 1.1}


@pytest.mark.parametrize(
    ("domain", "value", "near"),
    [
        # nothing is a fifth less than 0, or a quarter more
        (Range(0.0, 0.5), 0.0, {0.1}),
        (Range(0.5, 1.0), 0.75, {0.65, 0.85}),
        (Range(0, 16, is_whole=True), 8, {4, 12}),
        (Range(0, 3, is_whole=True), 1, {0, 2}),
        (Range(1, 2, is_whole=True), 2, {1}),
        (Range(1, 64, is_log=True, is_whole=True), 1, {2}),
        (Range(1, 64, is_log=True, is_whole=True), 32, {25, 40}),
        # both a fifth less and a quarter more lie outside
        (Range(10, 11, is_log=True, is_whole=True), 10, {11}),
        (Range(1.0, 1.1, is_log=True), 1.1, {1.0}),
        # which an older form of the study drew
        (Range(4, 8, is_whole=True), 1, {4, 8}),
    ],
)
def test_neighbours_in_each_kind_of_range(domain: Range, value: float, near: set[float]) -> None:
    rng = random.Random(0)
    found = {domain.draw_near(value, rng) for _ in range(50)}
    assert sorted(found) == pytest.approx(sorted(near))
    assert {type(each) for each in found} == {int if domain.is_whole else float}


def test_draws_are_even_on_the_ranges_own_scale() -> None:
    rng = random.Random(0)
    for domain, middle in (
        (Range(0, 0.5), 0.25),
        (Range(0, 100, is_whole=True), 50),
        (Range(1e-4, 1e-2, is_log=True), 1e-3),
        (Range(1, 10_000, is_log=True, is_whole=True), 100),
    ):
        drawn = [domain.sample(rng) for _ in range(2000)]
        assert 0.45 < sum(value < middle for value in drawn) / 2000 < 0.55, domain
        assert all(domain.low <= value <= domain.high for value in drawn)


@pytest.mark.parametrize("is_log", [False, True])
def test_whole_numbers_are_drawn_with_both_bounds(is_log: bool) -> None:
    rng, domain = random.Random(0), Range(2.0, 4.0, is_log=is_log, is_whole=True)
    drawn = [domain.sample(rng) for _ in range(300)]
    assert {*drawn} == {2, 3, 4}
    assert {type(value) for value in drawn} == {int}
    if not is_log:
        assert all(75 < drawn.count(value) < 125 for value in (2, 3, 4))


def test_draws_of_a_seed_are_those_that_sweeps_have_recorded() -> None:
    for seed in range(20):
        was = math.exp(random.Random(seed).uniform(math.log(1e-4), math.log(1e-2)))
        assert LogUniform(1e-4, 1e-2).sample(random.Random(seed)) == was


def test_bounds_that_make_no_range_are_refused() -> None:
    for low, high in ((1, 1), (2, 1), (math.nan, 1), (0, math.inf), (-math.inf, 0)):
        with pytest.raises(ConfigurationError, match=r"make no range\nhint: take two finite numbers, low < high$"):
            Range(low, high)
    with pytest.raises(ConfigurationError, match="hint: take two finite numbers, 0 < low < high, since"):
        Range(0, 1, is_log=True)
    with pytest.raises(ConfigurationError, match="of whole numbers"):
        Range(0.5, 2, is_whole=True)
