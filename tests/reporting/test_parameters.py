import math
from dataclasses import replace

import pytest

from cifar_ray.records import SweepRecord, TrialRecord
from cifar_ray.reporting.parameters import MIN_TRIALS, varied_parameters
from cifar_ray.studies import get_study
from cifar_ray.studies.study_file import parse_study


def trials(number: int) -> list[TrialRecord]:
    """Of the study cnn; the learning rate alone decides how good they are."""
    configs = get_study("cnn").with_budget(num_trials=number).sample(0)
    return [
        TrialRecord(
            trial_id=f"t{index:04d}",
            config=config.to_dict(),
            outcome="completed",
            best_validation_accuracy=min(1.0, config.learning_rate * 100),
        )
        for index, config in enumerate(configs)
    ]


def test_the_setting_that_decides_is_the_most_important(sweep_record: SweepRecord) -> None:
    found = {each["name"]: each for each in varied_parameters(sweep_record, trials(100))}
    assert set(found) == set(get_study("cnn").space)
    assert max(found, key=lambda name: found[name]["importance"]) == "learning_rate"
    assert abs(sum(each["importance"] for each in found.values()) - 1) < 1e-6


def test_kinds_and_bounds(sweep_record: SweepRecord) -> None:
    found = {each["name"]: each for each in varied_parameters(sweep_record, trials(30))}
    assert (found["learning_rate"]["kind"], found["learning_rate"]["low"]) == ("log", 1e-4)
    assert (found["dropout"]["kind"], found["dropout"]["values"]) == ("choice", [0.1, 0.3, 0.5])
    assert found["xavier"]["values"] == [False, True]


def test_a_sweep_of_a_wider_range_than_the_studys_is_shown_whole(sweep_record: SweepRecord) -> None:
    """As before the study was narrowed."""
    found = trials(30)
    wide = [replace(found[0], config={**found[0].config, "learning_rate": 5.0}), *found[1:]]
    (rate,) = (each for each in varied_parameters(sweep_record, wide) if each["name"] == "learning_rate")
    assert (rate["low"], rate["high"]) == (1e-4, 5.0)


OWN = """\
title = "Own"
budget = { num_trials = 30, max_epochs = 2 }
space = { dropout = { uniform = [0.0, 0.5] }, batch_size = { log_uniform = [16, 64] }, cutout = { uniform = [0, 8] } }
fixed = { model = "classic_cnn", optimizer = "sgd", learning_rate = 0.01, weight_decay = 0 }
"""


def test_an_own_studys_ranges_are_shown_on_their_own_scale(sweep_record: SweepRecord) -> None:
    """Whatever it happened to draw; by the values alone where the text is no study to this version."""
    configs = [config.to_dict() for config in parse_study("own", OWN).sample(0)]
    drawn = [TrialRecord(trial_id=str(n), config=config, outcome="completed") for n, config in enumerate(configs)]
    own = replace(sweep_record, study="own", definition=OWN)
    found = {each["name"]: (each["kind"], each.get("low"), each.get("high")) for each in varied_parameters(own, drawn)}
    assert found == {"dropout": ("linear", 0, 0.5), "batch_size": ("log", 16, 64), "cutout": ("linear", 0, 8)}
    for definition in (None, "[", OWN.replace("uniform", "normal"), f"{OWN}# \ud800"):
        guessed = {each["name"]: each for each in varied_parameters(replace(own, definition=definition), drawn)}
        assert guessed["dropout"]["low"] == min(config["dropout"] for config in configs)


def test_of_few_ended_trials_no_importance(sweep_record: SweepRecord) -> None:
    few = trials(MIN_TRIALS)
    few[0] = replace(few[0], outcome="running")
    assert {each["importance"] for each in varied_parameters(sweep_record, few)} == {None}
    assert varied_parameters(sweep_record, []) == []


def test_strange_settings_are_choices(sweep_record: SweepRecord) -> None:
    strange = [
        replace(trial, config={"odd": value, "learning_rate": 0.1 * index})
        for index, (trial, value) in enumerate(
            zip(trials(9), [None, "x", 3, "<b>", [1], {}, 0.1, True, 1], strict=True)
        )
    ]
    (odd,) = (each for each in varied_parameters(replace(sweep_record, study="own"), strange) if each["name"] == "odd")
    assert odd["kind"] == "choice"
    assert len(odd["values"]) == 9


@pytest.mark.parametrize("odd", [math.nan, math.inf, 10**400], ids=["nan", "inf", "huge"])
def test_a_number_that_no_axis_holds_is_none(sweep_record: SweepRecord, odd: float) -> None:
    """A trial's own settings are not checked as they are read."""
    drawn = trials(30)
    drawn[0] = replace(drawn[0], config=drawn[0].config | {"learning_rate": odd, "own": odd})
    drawn[1] = replace(drawn[1], config=drawn[1].config | {"own": 0.5})
    found = {each["name"]: each for each in varied_parameters(sweep_record, drawn)}
    assert (found["learning_rate"]["low"], found["learning_rate"]["high"]) == (1e-4, 1e-2)
    assert found["own"]["kind"] == "choice"
