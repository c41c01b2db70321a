"""Which configurations a sweep trains once more."""

import pytest

from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import STUDIES, Study, get_study
from cifar_ray.studies.options import PUBLISHED, SweepOptions
from cifar_ray.tuning.best_of import read_best


@pytest.mark.parametrize("study", [each for each in STUDIES.values() if each.published], ids=lambda each: each.name)
def test_the_reports_winner_is_trained_as_the_report_has_it(study: Study, runs: RunStore) -> None:
    assert study.published is not None
    options = SweepOptions(best_of=PUBLISHED)
    (winner,) = read_best(options.adapt(study), runs, options)
    assert {**study.fixed, **study.published.winner}.items() <= winner.to_dict().items()
    assert winner.max_epochs == study.budget.max_epochs


def test_it_may_have_other_settings_and_epochs(runs: RunStore) -> None:
    options = SweepOptions(best_of=PUBLISHED, max_epochs=3, setting=("averaging=ema",))
    (winner,) = read_best(options.adapt(get_study("cnn")), runs, options)
    assert (winner.max_epochs, winner.averaging, winner.learning_rate) == (3, "ema", 0.0039)
