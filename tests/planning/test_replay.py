"""Sweeps that ran for real, replayed in virtual time."""

from __future__ import annotations

import pytest

from cifar_ray.planning.curve_source import FinishedSweep
from cifar_ray.planning.replay import replay


@pytest.mark.parametrize("name", ["alone", "cohort"])
def test_a_real_sweep_takes_as_long_in_virtual_time(name: str, request: pytest.FixtureRequest) -> None:
    """Of the mechanics alone: curves and times are the sweep's own. docs/planning.md has predictions."""
    real: FinishedSweep = request.getfixturevalue(name)
    outcome = replay(real)
    assert outcome.wall_s == pytest.approx(real.result.wall_s, rel=0.15)
    assert outcome.num_epochs == pytest.approx(real.result.num_epochs, rel=0.05)
    assert real.result.winner is not None
    # rounded to whole images, where the record has 32 bits
    assert outcome.best_accuracy == pytest.approx(real.result.winner.best_validation_accuracy, abs=1e-6)


def test_the_real_pair_is_ranked_as_it_came_out(alone: FinishedSweep, cohort: FinishedSweep) -> None:
    assert cohort.result.wall_s < alone.result.wall_s
    assert replay(cohort).wall_s < replay(alone).wall_s
