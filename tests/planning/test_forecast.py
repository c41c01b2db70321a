from dataclasses import replace

import pytest

from cifar_ray.planning.fleet import Fleet
from cifar_ray.planning.forecast import Estimate, Grid, _summarise
from cifar_ray.planning.search import SimulatedSweep
from cifar_ray.studies import get_study


def test_95_of_100_lie_between() -> None:
    estimate = Estimate.of([float(value) for value in range(101)])
    assert (estimate.low, estimate.mean, estimate.high) == (2.5, 50.0, 97.5)


def test_half_a_point_less_is_as_good_and_hours_are_of_all_units() -> None:
    grid = Grid(
        study=get_study("cnn"),
        workers=[1],
        trials=[8],
        reduction_factors=[4],
        fleet=Fleet(num_workers=1),
        units_per_worker=4,
        num_seeds=3,
    )
    outcome = SimulatedSweep(
        wall_s=1800.0,
        up_s=1800.0,
        busy_s=900.0,
        driver_s=1.0,
        num_epochs=8,
        best_accuracy=0.9,
        finalists_epoch_s=(),
        reached={},
    )
    outcomes = [replace(outcome, best_accuracy=accuracy) for accuracy in (0.896, 0.895, 0.894)]
    forecast = _summarise(grid, grid.full, outcomes, [0.9] * 3)
    assert forecast.num_close == 2
    assert (forecast.hours.mean, forecast.utilisation.mean) == (pytest.approx(2.0), 0.5)
