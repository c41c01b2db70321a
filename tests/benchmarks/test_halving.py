from epoch_lines import make_line

from benchmarks.halving import choose_survivors, run_halving
from cifar_ray.records import EpochMetrics
from cifar_ray.studies import get_study
from cifar_ray.training.learner import Trial


class FakeCohort:
    """The higher a trial's number, the better it is; t0003 diverges."""

    def __init__(self) -> None:
        self.epochs: dict[str, int] = {}
        self.removed: list[str] = []

    def add(self, trial: Trial) -> None:
        self.epochs[trial.trial_id] = 0

    def remove(self, trial_id: str) -> None:
        self.removed.append(trial_id)

    def train_epoch(self, trial_ids: list[str]) -> list[EpochMetrics]:
        assert not set(trial_ids) & set(self.removed)
        for trial_id in trial_ids:
            self.epochs[trial_id] += 1
        return [
            make_line(each, self.epochs[each], int(each[1:]) / 10, loss=None if each == "t0003" else 1.0)
            for each in trial_ids
        ]


def test_the_best_of_each_four_go_on() -> None:
    assert choose_survivors({"a": 0.1, "b": 0.3, "c": 0.2, "d": 0.3, "e": 0.0}, 4) == ["b", "d"]
    assert choose_survivors({"a": 0.1}, 4) == ["a"]
    assert choose_survivors({}, 4) == []


def test_a_study_is_halved_to_its_best_trial() -> None:
    study = get_study("cnn").with_budget(num_trials=6, max_epochs=5)
    cohort = FakeCohort()
    num_epochs = run_halving(cohort, study.sample(0), study.budget)
    # six for an epoch, two of them to the fourth, one of these to the last
    assert cohort.epochs == {"t0000": 1, "t0001": 1, "t0002": 1, "t0003": 1, "t0004": 4, "t0005": 5}
    assert num_epochs == 13
    assert sorted(cohort.removed) == sorted(cohort.epochs)
