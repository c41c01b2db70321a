"""Neighbours in a search space."""

import random

import pytest

from cifar_ray.studies.space import Choice, LogUniform


def test_a_listed_value_goes_to_a_neighbour() -> None:
    rng, choice = random.Random(0), Choice((0.1, 0.3, 0.5))
    near = {value: {choice.draw_near(value, rng) for _ in range(50)} for value in choice.values}
    assert near == {0.1: {0.3}, 0.3: {0.1, 0.5}, 0.5: {0.3}}
    assert Choice((7,)).draw_near(7, rng) == 7


@pytest.mark.parametrize(("value", "near"), [(1.0, {0.8, 1.25}), (0.5, {0.625}), (2.0, {1.6})])
def test_a_number_goes_down_or_up_and_stays_within_its_bounds(value: float, near: set[float]) -> None:
    rng = random.Random(0)
    assert {LogUniform(0.5, 2.0).draw_near(value, rng) for _ in range(50)} == near
    assert {LogUniform(1.0, 1.1).draw_near(1.05, rng) for _ in range(50)} == {1.0, 1.1}
