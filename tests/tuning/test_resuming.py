"""Which options and studies go on with a sweep that was begun."""

from dataclasses import replace
from pathlib import Path

import pytest

from cifar_ray.errors import ConfigurationError, DataError, UnknownNameError
from cifar_ray.records import SweepRecord, TrialRecord
from cifar_ray.settings import read_settings
from cifar_ray.storage import layout
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Choice, Range, get_study
from cifar_ray.studies.options import SweepOptions
from cifar_ray.tuning.command import _load_training_images
from cifar_ray.tuning.resuming import as_begun, check_drawn, check_finished, check_same, find_begun, has_more_trials

RESULTS = Path(__file__).parents[2] / "docs" / "results"
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


def test_the_same_sweep_may_be_resumed(begun: SweepRecord, trials: list[TrialRecord]) -> None:
    uncut = replace(begun, grace_period=4)
    check_same(begun, replace(begun, started_at="later", commit="another"))
    check_same(uncut, replace(uncut, reduction_factor=9))
    check_drawn(begun, trials, STUDY.sample(0), STUDY)


def test_what_differs_is_named(begun: SweepRecord) -> None:
    for change, says in (
        ({"max_epochs": 5, "grace_period": 5}, "max_epochs was 4, now 5; grace_period was 1, now 5"),
        ({"reduction_factor": 9}, "reduction_factor was 4, now 9"),
        ({"num_trials": 9}, "num_trials was 3, now 9"),
        ({"is_cohort": True}, "is_cohort was False, now True"),
        ({"searcher": "tpe", "seed": 1}, "searcher was random, now tpe; seed was 0, now 1"),
        ({"best_of": "x-1", "changes": ("cutout=8",)}, "best_of was None, now x-1; settings was its own, now cutout=8"),
        ({"dataset": replace(begun.dataset, fingerprint="cd" * 32)}, "data was abababababab, now cdcdcdcdcdcd"),
        ({"dataset": replace(begun.dataset, validation_share=0.05)}, "validation_share was 0.1, now 0.05"),
    ):
        with pytest.raises(ConfigurationError, match=says) as refused:
            check_same(begun, replace(begun, **change))
        assert "leave out options" in str(refused.value.hint)


def test_another_definition_of_the_study_is_refused(begun: SweepRecord) -> None:
    own = replace(begun, definition="…")
    for recorded, sweep, hint in (
        (
            own,
            replace(own, definition="."),
            r"its sweep.json has the text, by which --resume goes on\), or",
        ),
        (begun, own, "restore that, or start"),
    ):
        with pytest.raises(ConfigurationError, match=hint):
            check_same(recorded, sweep)


def test_options_left_open_are_those_that_it_began_with(begun: SweepRecord) -> None:
    """Whatever has become of the study's own budget; those that are given count, 0 among them."""
    begun = replace(begun, seed=7, num_finalists=2, num_seeds=3, reduction_factor=2)
    options = as_begun(SweepOptions(sweep_id="cnn-1", resume=True, keep="winner"), begun)
    study = options.adapt(get_study("cnn"))
    assert study.budget == begun.budget
    assert (study.seeds, options.seed, options.no_cohort, options.keep) == (3, 7, True, "winner")
    given = as_begun(SweepOptions(sweep_id="cnn-1", resume=True, seeds=0, seed=0, data="shapes"), begun)
    assert (given.seeds, given.seed, given.data) == (0, 0, "shapes")
    uncut = as_begun(SweepOptions(sweep_id="cnn-1", resume=True), replace(begun, grace_period=4))
    assert uncut.adapt(get_study("cnn")).budget.grace_period == 4


def test_a_finished_sweep_answers_its_own_options_alone(begun: SweepRecord) -> None:
    """A job that is tried again says what it said before; whoever asks for more trials is not told the old result."""
    population = replace(begun, searcher="pbt", num_trials=40, max_epochs=6, grace_period=6)
    for recorded, same in (
        (begun, SweepOptions(resume=True, sweep_id="cnn-1")),
        (begun, SweepOptions(resume=True, sweep_id="cnn-1", trials=3, max_epochs=4, no_cohort=True, keep="winner")),
        # whole generations of it
        (population, SweepOptions(resume=True, sweep_id="cnn-1", searcher="pbt", trials=43, max_epochs=32)),
    ):
        check_finished(recorded, get_study("cnn"), same)
    for options, says in (
        (SweepOptions(resume=True, sweep_id="cnn-1", trials=120), "num_trials was 3, now 120"),
        (SweepOptions(resume=True, sweep_id="cnn-1", seed=2), "seed was 0, now 2"),
        (SweepOptions(resume=True, sweep_id="cnn-1", best_of="a", setting=("xavier=true",)), "best_of was None, now a"),
        (SweepOptions(resume=True, sweep_id="cnn-1", best_of="a", validation_share=0.05), "share was 0.1, now 0.05"),
        # the factor, which nobody asked for, would do nothing then
        (SweepOptions(resume=True, sweep_id="cnn-1", grace_period=4), "grace_period was 1, now 4"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            check_finished(begun, get_study("cnn"), options)
    with pytest.raises(ConfigurationError, match="is_cohort was True, now False"):
        check_finished(replace(begun, is_cohort=True), get_study("cnn"), SweepOptions(no_cohort=True))


def test_a_sweep_with_best_of_resumes_as_it_was(begun: SweepRecord) -> None:
    once_more = replace(begun, best_of="cnn-0", changes=("cutout=8",))
    options = as_begun(SweepOptions(sweep_id="cnn-1", resume=True), once_more)
    assert (options.best_of, options.settings) == ("cnn-0", {"cutout": 8})
    assert options.validation_share is None, "the usual one asks for no seed in particular"
    twentieth = replace(once_more, dataset=replace(begun.dataset, validation_share=0.05))
    assert as_begun(SweepOptions(sweep_id="cnn-1", resume=True), twentieth).validation_share == 0.05


def test_a_population_resumes_with_five_times_a_generations_epochs(begun: SweepRecord) -> None:
    population = replace(begun, searcher="pbt", num_trials=40, max_epochs=6, grace_period=6)
    options = as_begun(SweepOptions(sweep_id="cnn-1", resume=True), population)
    assert options.adapt(get_study("cnn")).trial_budget == population.budget


def test_only_a_sweep_of_the_study_is_resumed(runs: RunStore, begun: SweepRecord) -> None:
    runs.create_sweep(begun)
    assert find_begun(runs, begun.sweep_id, get_study("cnn")) == begun
    with pytest.raises(ConfigurationError, match="is of study cnn, not resnet") as refused:
        find_begun(runs, begun.sweep_id, get_study("resnet"))
    assert f"job submit cnn --sweep-id {begun.sweep_id} --resume" in str(refused.value.hint)
    with pytest.raises(UnknownNameError, match="unknown sweep 'never'") as refused:
        find_begun(runs, "never", get_study("cnn"))
    assert "--start-or-resume" in str(refused.value.hint)


def test_a_cohort_may_resume_on_other_cores_but_not_on_another_kind_of_device(begun: SweepRecord) -> None:
    cohort = replace(begun, is_cohort=True, cpus_per_trial=4.0, accelerators_per_trial=0.0)
    check_same(cohort, replace(cohort, cpus_per_trial=2.0))
    with pytest.raises(ConfigurationError, match="accelerators_per_trial"):
        check_same(cohort, replace(cohort, accelerators_per_trial=1.0))
    with pytest.raises(ConfigurationError, match="cpus_per_trial"):
        check_same(begun, replace(begun, cpus_per_trial=64.0))


def test_a_study_that_draws_other_trials_now_is_refused(begun: SweepRecord, trials: list[TrialRecord]) -> None:
    changed = [replace(config, dropout=0.77) for config in STUDY.sample(0)]
    with pytest.raises(ConfigurationError, match=r"of t0000: dropout was 0\.\d, now 0\.77"):
        check_drawn(begun, trials, changed, STUDY)
    check_drawn(replace(begun, searcher="tpe"), trials, changed, STUDY)
    ended = [replace(trials[0], trial_id=f"t000{index}") for index in range(3)]
    check_drawn(begun, ended, changed, STUDY)


def test_a_study_that_allows_what_a_searcher_chose_no_longer_is_refused(
    begun: SweepRecord, trials: list[TrialRecord]
) -> None:
    chosen, drawn = replace(begun, searcher="tpe"), STUDY.sample(1)
    check_drawn(chosen, trials, drawn, STUDY)
    for space, says in (
        ({"dropout": Choice((0.77,))}, r"of t0000: dropout was 0\.\d, now one of 0\.77"),
        ({"learning_rate": Range(5.0, 6.0)}, r"learning_rate was .*, now 5 to 6, uniform"),
        ({"weight_decay": Choice((0.5,))}, r"weight_decay was .*, now one of 0\.5"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            check_drawn(chosen, trials, drawn, replace(STUDY, space={**STUDY.space, **space}))
    averaged = [replace(config, averaging="ema") for config in drawn]
    with pytest.raises(ConfigurationError, match="averaging was none, now ema"):
        check_drawn(chosen, trials, averaged, replace(STUDY, fixed={**STUDY.fixed, "averaging": "ema"}))
    smoothed = [replace(trial, config={**trial.config, "label_smoothing": 0.2}) for trial in trials]
    with pytest.raises(ConfigurationError, match=r"label_smoothing was 0\.2, now 0\.0"):
        check_drawn(chosen, smoothed, drawn, STUDY)


def test_a_setting_that_the_record_lacks_has_its_default(begun: SweepRecord, trials: list[TrialRecord]) -> None:
    old = [replace(trial, config={**trial.config}) for trial in trials]
    for trial in old:
        del trial.config["averaging"]  # type: ignore[attr-defined]  # a dictionary, made above
    check_drawn(begun, old, STUDY.sample(0), STUDY)
    averaged = [replace(config, averaging="ema") for config in STUDY.sample(0)]
    with pytest.raises(ConfigurationError, match="averaging was none, now ema"):
        check_drawn(begun, old, averaged, STUDY)


@pytest.mark.parametrize(
    ("asked", "begun_with", "environment", "taken"),
    [
        (None, "shapes:600", "shapes:500", "shapes (600)"),
        ("shapes:700", "shapes:600", "shapes:500", "shapes (700)"),
        # they may lie elsewhere by now
        (None, "/no/such/folder", "shapes:500", "shapes (500)"),
    ],
)
def test_a_sweep_resumes_with_its_images(
    begun: SweepRecord, asked: str | None, begun_with: str, environment: str, taken: str
) -> None:
    recorded = replace(begun, dataset=replace(begun.dataset, source=begun_with))
    settings = read_settings({"CIFAR_RAY_DATA": environment})
    assert _load_training_images(SweepOptions(data=asked), settings, recorded).name == taken
    gone = replace(begun, dataset=replace(begun.dataset, source="/no/such/folder"))
    with pytest.raises(DataError, match="no folder /no/such/folder"):
        _load_training_images(SweepOptions(), read_settings({}), gone)


def test_what_has_been_chosen_among_a_sweeps_trials_is_not_chosen_among_more(
    begun: SweepRecord, runs: RunStore
) -> None:
    runs.create_sweep(begun)
    more = SweepOptions(sweep_id=begun.sweep_id, resume=True, trials=begun.num_trials + 1)
    assert has_more_trials(runs, begun, more)
    assert not has_more_trials(runs, begun, replace(more, trials=begun.num_trials))
    for change, says in (({"searcher": "pbt"}, "a population"), ({"best_of": "cnn-2"}, "another sweep's best")):
        with pytest.raises(ConfigurationError, match=f"cannot have more: .*{says}"):
            has_more_trials(runs, replace(begun, **change), more)
    real = RunStore(FolderStore(RESULTS))
    scores = real.test_scores(real.sweep_ids()[0])
    assert scores is not None
    runs.write_test_scores(replace(scores, sweep_id=begun.sweep_id))
    with pytest.raises(ConfigurationError, match="has been scored on the test set"):
        has_more_trials(runs, begun, more)
    runs.finals(begun.sweep_id).create_sweep(
        replace(begun, sweep_id=layout.finals(begun.sweep_id), parent=begun.sweep_id)
    )
    with pytest.raises(ConfigurationError, match="its finals have begun"):
        has_more_trials(runs, begun, more)
