import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console, RenderableType

from cifar_ray.finals import Finals
from cifar_ray.records import SweepRecord, SweepResult, TestScores, TrialRecord
from cifar_ray.reporting.score_rows import SETTINGS
from cifar_ray.reporting.terminal import (
    SHORT,
    scores_renderable,
    state_text,
    studies_renderable,
    study_renderable,
    sweeps_renderable,
    trials_renderable,
)
from cifar_ray.storage.lease import LeaseRecord
from cifar_ray.storage.runs import SweepSummary
from cifar_ray.studies import STUDIES, Choice, parse_setting
from cifar_ray.studies.trial_config import NOT_SETTABLE

HEADING_WIDTH = 9
"""Of the widest word in a column's heading: a trial's columns are as narrow as its values."""
LONG_AGO = LeaseRecord(holder="1", host="head", num_renewals=9, renewed_at="2026-01-01T00:00:00+00:00").to_json()
HOSTILE = "[red]x[/red]\x1b[31m"


def show(renderable: RenderableType, width: int = 80) -> str:
    """What a terminal without colours shows; fails where a line is too wide."""
    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=False)
    console.print(renderable)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    return text


def summary_of(sweep: SweepRecord) -> SweepSummary:
    return SweepSummary(sweep=sweep, result=None, scores=None, heartbeat="{}")


def words(text: str, first: str) -> list[str]:
    """The words of the first line that begins with `first`."""
    return next(line for line in text.splitlines() if line.startswith(first)).split()


@pytest.mark.parametrize("study", STUDIES)
def test_what_a_study_draws_has_a_narrow_heading(study: str) -> None:
    words = [word for name in STUDIES[study].space for word in SHORT.get(name, SETTINGS[name]).split()]
    assert max(map(len, words)) <= HEADING_WIDTH


def test_scores_beside_the_reports(scores: TestScores) -> None:
    text = show(scores_renderable([scores]))
    assert words(text, "accuracy") == ["accuracy", "64.38", "64.4"]
    assert words(text, "data") == ["data", "cifar10", "cifar10"]
    assert words(show(scores_renderable([replace(scores, accuracy=0.7)])), "accuracy")[1] == "70.00"


def test_three_studies_keep_every_digit_at_80_columns(scores: TestScores) -> None:
    three = [replace(scores, study=study, sweep_id=f"{study}-1") for study, each in STUDIES.items() if each.published]
    text = show(scores_renderable(three))
    assert words(text, "accuracy") == ["accuracy", "64.38", "64.4", "64.38", "87.8", "64.38", "92.37"]
    assert "…" not in text


def test_scores_on_other_data_carry_their_caution(scores: TestScores, shapes_scores: TestScores) -> None:
    assert "not CIFAR-10" not in show(scores_renderable([scores]))
    assert "which is not CIFAR-10" in show(scores_renderable([shapes_scores]))


def test_remarks_are_shown(scores: TestScores) -> None:
    assert "epoch 28 was damaged" in show(scores_renderable([replace(scores, remarks=("epoch 28 was damaged",))]))


@pytest.mark.parametrize("sweep_id", ["cnn-1", "resnet-schedule-20260101-120000"])
def test_a_sweeps_id_can_be_copied(
    sweep_record: SweepRecord, result: SweepResult, scores: TestScores, sweep_id: str
) -> None:
    sweep = replace(sweep_record, sweep_id=sweep_id)
    text = show(sweeps_renderable([SweepSummary(sweep=sweep, result=result, scores=scores)]))
    assert words(text, sweep_id)[:6] == [sweep_id, "evaluated", "2", "45.00", "64.38", "2026-01-01"]
    assert "cnn, seed 0, data: cifar10 " in text


def test_the_validation_accuracy_in_the_list_is_of_the_training_that_is_scored(
    sweep_record: SweepRecord, result: SweepResult, finals_of: Callable[..., Finals]
) -> None:
    """Where a sweep has finals that is the best training of their winner, which may have more epochs."""
    finals = finals_of("t0001", 0.4, 0.75, 0.80, None)
    nobody = replace(finals, finalists=())
    for each, shown in ((finals, "80.00"), (nobody, "45.00"), (None, "45.00")):
        summary = SweepSummary(sweep=sweep_record, result=replace(result, finals=each), scores=None)
        assert words(show(sweeps_renderable([summary])), "cnn-1")[3] == shown
    without_winner = SweepSummary(sweep=sweep_record, result=replace(result, winner=None), scores=None)
    assert words(show(sweeps_renderable([without_winner])), "cnn-1")[3] == "–"


def test_the_list_says_of_whose_best_a_sweep_is(sweep_record: SweepRecord) -> None:
    text = show(sweeps_renderable([summary_of(replace(sweep_record, best_of="cnn-7", seed=5))]), 100)
    assert "cnn, seed 5, data: cifar10, the best of cnn-7 " in text


def test_a_sweeps_state(sweep_record: SweepRecord, result: SweepResult) -> None:
    for ended, state in ((None, "interrupted"), (result, "finished"), (replace(result, winner=None), "finished")):
        text = show(sweeps_renderable([SweepSummary(sweep=sweep_record, result=ended, scores=None)]))
        assert words(text, "cnn-1")[1] == state
    text = show(sweeps_renderable([SweepSummary(sweep=sweep_record, result=None, scores=None, heartbeat=LONG_AGO)]))
    assert words(text, "cnn-1")[1] == "running"
    assert "silent for" in text


def test_who_won_or_what_to_do_next_with_a_sweep(
    sweep_record: SweepRecord,
    result: SweepResult,
    trial_record: TrialRecord,
    scores: TestScores,
    finals_of: Callable[..., Finals],
) -> None:
    gone = SweepSummary(sweep=sweep_record, result=None, scores=None)
    go_on = "cifar-ray job submit cnn --sweep-id cnn-1 --resume --storage s3://b"
    assert state_text(gone, " --storage s3://b") == f"interrupted; resume with: {go_on}"
    assert state_text(replace(gone, heartbeat="{}")).startswith("running: a driver holds its lease")
    silent = state_text(replace(gone, heartbeat=LONG_AGO))
    assert silent.startswith("its driver has been silent for ")
    two_hours_ago = (datetime.now(UTC) - timedelta(hours=2, minutes=5)).isoformat()
    lately = LeaseRecord(holder="1", host="head", num_renewals=9, renewed_at=two_hours_ago).to_json()
    assert "silent for 2 h 05 min by" in state_text(replace(gone, heartbeat=lately))
    assert silent.endswith("--sweep-id cnn-1 --resume")
    ended = replace(gone, result=result)
    won = "winner t0000: validation 45.00 %"
    assert state_text(ended) == f"{won}; not evaluated yet: cifar-ray job submit evaluate cnn-1"
    scored = state_text(replace(ended, scores=scores))
    assert scored == f"{won}, test 64.38 % (63.44 to 65.31) on cifar10"
    assert "evaluate" not in state_text(replace(gone, result=replace(result, winner=None)))
    decided = replace(result, finals=finals_of("t0001", 0.4, 0.8))
    assert state_text(replace(gone, result=decided)).startswith("winner t0001: validation 80.00 %;"), "not the search's"
    finals = replace(gone, sweep=replace(sweep_record, sweep_id="cnn-1-finals", parent="cnn-1"))
    assert state_text(finals) == "the finals of cnn-1: they are resumed and scored with it"
    left = replace(trial_record, outcome="running")
    assert words(show(trials_renderable(gone, [left])), "t0000")[1] == "interrupted"
    assert words(show(trials_renderable(replace(gone, heartbeat="{}"), [left])), "t0000")[1] == "running"


def test_trials_stand_best_first_with_what_they_differ_in(sweep_record: SweepRecord) -> None:
    trials = [
        TrialRecord(
            trial_id=f"t{index:04d}",
            config=config.to_dict(),
            outcome="stopped",
            num_epochs=4,
            best_epoch=3,
            best_validation_accuracy=index / 10 or None,
        )
        for index, config in enumerate(STUDIES["cnn"].with_budget(num_trials=6).sample(0))
    ]
    text = show(trials_renderable(summary_of(sweep_record), trials))
    ids = [line.split()[0] for line in text.splitlines() if line.startswith("t0")]
    assert ids == ["t0005", "t0004", "t0003", "t0002", "t0001", "t0000"]
    assert words(text, "t0005")[:4] == ["t0005", "stopped", "50.00", "3/4"]
    assert words(text, "trial")[-8:] == ["opt.", "rate", "decay", "drop", "norm", "Xav.", "aug.", "seed"]
    assert "momentum" not in text


@pytest.mark.parametrize(("width", "num_left_out"), [(80, 0), (60, 4), (40, 7)])
def test_a_narrow_terminal_shows_fewer_settings_and_breaks_none(
    sweep_record: SweepRecord, trial_record: TrialRecord, width: int, num_left_out: int
) -> None:
    configs = STUDIES["cnn"].with_budget(num_trials=6).sample(0)
    trials = [
        replace(trial_record, trial_id=f"t{index:04d}", parent="t0000", config=config.to_dict(), outcome="completed")
        for index, config in enumerate(configs)
    ]
    wide, text = (show(trials_renderable(summary_of(sweep_record), trials), each) for each in (200, width))
    for trial in trials:
        found, expected = words(text, trial.trial_id), words(wide, trial.trial_id)
        assert found == expected[: len(expected) - num_left_out]
    assert (f"columns left out: {num_left_out}; a wider terminal" in text) == (num_left_out > 0)
    assert "left out" not in wide


def test_a_narrow_terminal_breaks_no_score_and_no_sweeps_id(
    sweep_record: SweepRecord, result: SweepResult, scores: TestScores
) -> None:
    text = show(scores_renderable([scores]), 40)
    assert words(text, "accuracy") == ["accuracy", "64.38", "64.4"]
    assert words(text, "95 %") == ["95", "%", "interval", "63.44", "to", "65.31", "–"]
    sweep = replace(sweep_record, sweep_id="resnet-schedule-20260101-120000-deadbeef"[:40])
    listed = show(sweeps_renderable([SweepSummary(sweep=sweep, result=result, scores=scores)]), 40)
    assert words(listed, "resnet") == [sweep.sweep_id]
    assert "columns left out: 5; a wider terminal or `cifar-ray results list --json` has them" in " ".join(
        listed.split()
    )


def test_a_failed_trial_shows_its_error_as_it_is(sweep_record: SweepRecord, trial_record: TrialRecord) -> None:
    failed = replace(trial_record, trial_id=HOSTILE, outcome="failed", error=f"KeyError: {HOSTILE}")
    text = show(trials_renderable(summary_of(sweep_record), [failed]), width=120)
    assert "KeyError: [red]x[/red] [31m" in text
    assert "\x1b" not in text


def test_heirs_show_whose_weights_they_began_with(sweep_record: SweepRecord, trial_record: TrialRecord) -> None:
    assert "parent" not in show(trials_renderable(summary_of(sweep_record), [trial_record]))
    heir = replace(trial_record, trial_id="t0009", parent="t0007")
    text = show(trials_renderable(summary_of(sweep_record), [trial_record, heir]))
    assert "parent" in text
    assert words(text, "t0009")[1] == "t0007"


def test_hostile_names_are_text_everywhere(
    sweep_record: SweepRecord, result: SweepResult, scores: TestScores, trial_record: TrialRecord
) -> None:
    dataset = replace(sweep_record.dataset, name=HOSTILE, source=HOSTILE)
    sweep = replace(sweep_record, dataset=dataset, study=HOSTILE)
    hostile = replace(scores, dataset=dataset, study=HOSTILE, remarks=(HOSTILE,))
    for shown in (
        scores_renderable([hostile]),
        sweeps_renderable([SweepSummary(sweep=sweep, result=result, scores=hostile)]),
        trials_renderable(summary_of(sweep), [trial_record]),
        study_renderable(replace(STUDIES["cnn"], title=HOSTILE)),
        studies_renderable([replace(STUDIES["cnn"], title=HOSTILE)]),
    ):
        text = show(shown, width=200)
        assert "[red]x[/red]" in text
        assert "\x1b" not in text


def test_studies() -> None:
    text = show(studies_renderable(list(STUDIES.values())))
    assert [words(text, name)[-3:] for name in ("cnn", "resnet ", "resnet-schedule")] == [
        ["30", "30", "64.4"],
        ["30", "30", "87.8"],
        ["10", "50", "92.37"],
    ]


def test_a_narrow_list_of_studies_has_their_names_whole() -> None:
    text = show(studies_renderable(list(STUDIES.values())), 40)
    assert {line.split()[0] for line in text.splitlines() if line[:1].isalpha()} >= set(STUDIES)
    assert "…" not in text
    assert "`cifar-ray study show` has them" in " ".join(text.split())


def test_a_study_shows_space_budget_and_what_the_report_found() -> None:
    text = show(study_renderable(STUDIES["cnn"]))
    assert "30 trials of at most 30 epochs" in text
    assert "validation 67.1 %, test 64.4 %" in text
    assert words(text, "learning_rate") == ["learning_rate", "0.0001", "to", "0.01,", "log-uniform", "0.0039"]
    assert words(text, "batch_norm") == ["batch_norm", "no", "or", "yes", "no"]
    assert words(text, "batch_size") == ["batch_size", "always", "64", "–"]


@pytest.mark.parametrize("study", STUDIES)
def test_a_studys_choices_are_shown_as_a_flag_takes_them(study: str) -> None:
    text = show(study_renderable(STUDIES[study]), 200)
    space, fixed = STUDIES[study].space, STUDIES[study].fixed
    choices = {name: domain.values for name, domain in space.items() if isinstance(domain, Choice)}
    for name, values in ({name: (value,) for name, value in fixed.items()} | choices).items():
        if name not in NOT_SETTABLE:
            cells = words(text, f"{name} ")[1 : -1 if STUDIES[study].published else None]
            shown = " ".join(cells).removeprefix("always ").split(" or ")
            assert [parse_setting(f"{name}={value}") for value in shown] == [(name, value) for value in values]


def test_a_study_that_the_report_lacks() -> None:
    text = show(study_renderable(replace(STUDIES["cnn"], published=None)))
    assert "report" not in text
    assert words(text, "batch_size") == ["batch_size", "always", "64"]


def test_a_study_that_stops_no_trial_names_no_rungs() -> None:
    text = show(study_renderable(STUDIES["cnn"].with_budget(num_trials=1, max_epochs=9, grace_period=9)))
    assert "1 trial of at most 9 epochs; none is stopped early; searcher: random" in text
    assert "reduction factor" not in text


def test_a_studys_population_is_told_as_it_trains() -> None:
    study = STUDIES["cnn"].with_budget(num_trials=22, max_epochs=8).with_searcher("pbt")
    text = " ".join(show(study_renderable(study)).split())
    assert "20 trials; a population of 4, 5 generations of 1 epoch; searcher: pbt" in text
    assert "ASHA" not in text
