"""Which configurations a sweep trains once more."""

from dataclasses import replace

import pytest

from cifar_ray.errors import ConfigurationError, RecordError
from cifar_ray.records import SweepRecord, SweepResult, TrialRecord
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


def test_the_best_of_a_study_file_with_another_text_are_not_this_studys(
    runs: RunStore, sweep_record: SweepRecord, sweep_result: SweepResult
) -> None:
    study = replace(get_study("cnn"), definition="…")
    trial = TrialRecord(trial_id="t0000", config=study.sample(0)[0].to_dict(), outcome="completed")
    recorded = replace(sweep_record, definition="…")
    runs.create_sweep(recorded)
    runs.write_trial(recorded.sweep_id, trial)
    runs.write_result(replace(sweep_result, sweep_id=recorded.sweep_id, ranking=("t0000",), winner=trial))
    options = SweepOptions(best_of=recorded.sweep_id)
    assert read_best(options.adapt(study), runs, options)[0].learning_rate == trial.config["learning_rate"]
    for other in (replace(study, definition="."), get_study("cnn")):
        with pytest.raises(ConfigurationError, match="began with another definition of cnn"):
            read_best(options.adapt(other), runs, options)


def test_a_ranked_trial_whose_record_is_lost_is_named(
    runs: RunStore, sweep_record: SweepRecord, sweep_result: SweepResult
) -> None:
    runs.create_sweep(sweep_record)
    runs.write_result(sweep_result)
    options = SweepOptions(best_of="cnn-1")
    with pytest.raises(RecordError, match="sweep cnn-1 has lost the record of trial t0000"):
        read_best(options.adapt(get_study("cnn")), runs, options)


def test_where_to_look_for_a_finished_sweep_names_the_store(runs: RunStore) -> None:
    options = SweepOptions(best_of="cnn-1")
    with pytest.raises(ConfigurationError, match="no sweep cnn-1 has finished") as caught:
        read_best(options.adapt(get_study("cnn")), RunStore(runs.objects, " --storage s3://b"), options)
    assert str(caught.value.hint).endswith("results list --storage s3://b")


def test_a_sweep_goes_on_without_the_one_that_its_configurations_came_from(
    runs: RunStore, sweep_record: SweepRecord
) -> None:
    """Once it has begun them all: whoever deletes the other one thinks that it has served its purpose."""
    resumed = replace(sweep_record, sweep_id="cnn-2", best_of="cnn-1", num_trials=2)
    options = SweepOptions(best_of="cnn-1", trials=2)
    study = options.adapt(get_study("cnn"))
    configs = study.sample(5)
    for number, config in enumerate(configs):
        with pytest.raises(
            ConfigurationError, match=r"no sweep cnn-1 has finished; .* configurations that sweep cnn-2 has not begun"
        ):
            read_best(study, runs, options, resumed)
        runs.write_trial("cnn-2", TrialRecord(trial_id=f"t000{number}", config=config.to_dict(), outcome="running"))
    assert read_best(study, runs, options, resumed) == configs
