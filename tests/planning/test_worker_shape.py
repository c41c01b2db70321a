import os
from dataclasses import replace

import pytest

from cifar_ray.planning.worker_shape import worker_shape
from cifar_ray.records import SweepRecord
from cifar_ray.studies import get_study


@pytest.mark.parametrize(
    ("share", "says"),
    [
        (0.25, "1 accelerator, 4 trials at once"),
        (0.4, "1 accelerator, 2 trials at once"),
        (1.0, "1 accelerator, 1 trial at once"),
    ],
)
def test_an_accelerator_has_as_many_places_as_trials_can_share_it(share: float, says: str) -> None:
    study = replace(get_study("cnn"), accelerators_per_trial=share)
    assert str(worker_shape(study, is_cohort=False, has_accelerators=True, timed_on=None)) == says


def test_a_cohort_on_cores_is_not_as_narrow_as_one_on_an_accelerator(sweep_record: SweepRecord) -> None:
    for accelerators, cores in ((1.0, os.cpu_count()), (0.0, 3.0)):
        timed_on = replace(sweep_record, is_cohort=True, cpus_per_trial=3.0, accelerators_per_trial=accelerators)
        shape = worker_shape(get_study("cnn"), is_cohort=True, has_accelerators=False, timed_on=timed_on)
        assert (shape.units, shape.unit) == (cores, "core")
