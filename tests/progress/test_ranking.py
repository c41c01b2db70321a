"""Who is the best trial."""

from dataclasses import replace

from cifar_ray.progress.ranking import best_first, best_of
from cifar_ray.records import TrialRecord


def test_of_equal_trials_the_first_by_id_is_the_best_as_in_the_ranking(trial_record: TrialRecord) -> None:
    accuracies = {"t0002": 0.6, "t0003": None, "t0001": 0.6, "t0000": 0.5}
    trials = [replace(trial_record, trial_id=each, best_validation_accuracy=accuracies[each]) for each in accuracies]
    best = best_of(trials)
    assert best is not None
    assert best == best_first(trials)[0]
    assert best.trial_id == "t0001"


def test_without_an_accuracy_none_is_the_best(trial_record: TrialRecord) -> None:
    assert best_of([]) is None
    assert best_of([replace(trial_record, best_validation_accuracy=None)]) is None


def test_a_trial_without_an_accuracy_comes_after_one_that_got_nothing_right(trial_record: TrialRecord) -> None:
    accuracies = {"t0000": None, "t0001": 0.0, "t0002": 0.1}
    trials = [replace(trial_record, trial_id=each, best_validation_accuracy=accuracies[each]) for each in accuracies]
    assert [each.trial_id for each in best_first(trials)] == ["t0002", "t0001", "t0000"]
