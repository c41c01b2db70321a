from dataclasses import replace

import pytest

from cifar_ray.planning.worker_shape import worker_shape
from cifar_ray.studies import get_study


@pytest.mark.parametrize(
    ("share", "says"),
    [
        (0.25, "1 accelerator, 4 trials at once"),
        (0.4, "1 accelerator, 2 trials at once"),
        (2.0, "2 accelerators, 1 trial at once"),
    ],
)
def test_an_accelerator_has_as_many_places_as_trials_can_share_it(share: float, says: str) -> None:
    study = replace(get_study("cnn"), accelerators_per_trial=share)
    assert str(worker_shape(study, is_cohort=False, has_accelerators=True, timed_on=None)) == says
