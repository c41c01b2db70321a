"""Which options and studies go on with a sweep that was begun."""

from dataclasses import replace

import pytest

from cifar_ray.errors import ConfigurationError
from cifar_ray.records import SweepRecord, TrialRecord
from cifar_ray.studies import get_study
from cifar_ray.studies.options import SweepOptions
from cifar_ray.tuning.command import tune_command
from cifar_ray.tuning.resuming import check_drawn, check_same

STUDY = get_study("cnn").with_budget(num_trials=3, max_epochs=4)


@pytest.fixture
def begun(sweep_record: SweepRecord) -> SweepRecord:
    return replace(sweep_record, num_trials=3, max_epochs=4, grace_period=1, is_cohort=False)


@pytest.fixture
def trials() -> list[TrialRecord]:
    """One ended, one began; the third has not."""
    first, second, _ = STUDY.sample(0)
    return [
        TrialRecord(trial_id="t0000", config=first.to_dict(), outcome="completed"),
        TrialRecord(trial_id="t0001", config=second.to_dict(), outcome="running"),
    ]


def test_the_same_goes_on(begun: SweepRecord, trials: list[TrialRecord]) -> None:
    check_same(begun, replace(begun, started_at="later", commit="another", reduction_factor=9), "num_seeds")
    check_drawn(begun, trials, STUDY.sample(0))


def test_what_differs_is_named_with_the_options_that_would_go_on(begun: SweepRecord) -> None:
    """Whatever has become of the study's own budget."""
    with pytest.raises(ConfigurationError, match="max_epochs was 4, now 5; grace_period was 1, now 5") as refused:
        check_same(begun, replace(begun, max_epochs=5, grace_period=5))
    hint = str(refused.value.hint)
    arguments = hint.removeprefix("resume it with ").removesuffix(" and the data it had").split()
    with tune_command("cnn").make_context("job", arguments) as context:
        options = SweepOptions(**context.params)
    budget = options.adapt(get_study("cnn")).budget
    assert (budget.num_trials, budget.max_epochs, budget.grace_period) == (3, 4, 1)
    assert (options.sweep_id, options.resume, options.no_cohort) == (begun.sweep_id, True, True)


def test_a_population_goes_on_with_five_times_a_generations_epochs(begun: SweepRecord) -> None:
    population = replace(begun, searcher="pbt", num_trials=40, max_epochs=6, grace_period=6)
    with pytest.raises(ConfigurationError, match="seed was 0, now 7") as refused:
        check_same(population, replace(population, seed=7))
    assert "--trials 40 --max-epochs 30 " in str(refused.value.hint)
    assert "--grace-period" not in str(refused.value.hint)


def test_a_cohort_may_go_on_with_other_cores_but_not_on_another_kind_of_device(begun: SweepRecord) -> None:
    cohort = replace(begun, is_cohort=True, cpus_per_trial=4.0, accelerators_per_trial=0.0)
    check_same(cohort, replace(cohort, cpus_per_trial=2.0))
    with pytest.raises(ConfigurationError, match="accelerators_per_trial"):
        check_same(cohort, replace(cohort, accelerators_per_trial=1.0))
    with pytest.raises(ConfigurationError, match="cpus_per_trial"):
        check_same(begun, replace(begun, cpus_per_trial=64.0))


def test_a_study_that_has_changed_does_not_go_on_with_trials_that_it_would_not_draw(
    begun: SweepRecord, trials: list[TrialRecord]
) -> None:
    changed = [replace(config, dropout=0.77) for config in STUDY.sample(0)]
    with pytest.raises(ConfigurationError, match=r"of t0000: dropout was 0\.\d, now 0\.77"):
        check_drawn(begun, trials, changed)
    check_drawn(replace(begun, searcher="tpe"), trials, changed)
    ended = [replace(trials[0], trial_id=f"t000{index}") for index in range(3)]
    check_drawn(begun, ended, changed)


def test_a_setting_that_the_sweep_did_not_know_has_its_default(begun: SweepRecord, trials: list[TrialRecord]) -> None:
    old = [replace(trial, config={**trial.config}) for trial in trials]
    for trial in old:
        del trial.config["averaging"]  # type: ignore[attr-defined]  # a dictionary, made above
    check_drawn(begun, old, STUDY.sample(0))
    averaged = [replace(config, averaging="ema") for config in STUDY.sample(0)]
    with pytest.raises(ConfigurationError, match="averaging was none, now ema"):
        check_drawn(begun, old, averaged)
