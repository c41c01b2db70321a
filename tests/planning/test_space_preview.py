"""What a space holds, counted on spaces small enough to see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cifar_ray.planning import space_preview
from cifar_ray.planning.space_preview import MAX_CORNERS, preview_space
from cifar_ray.studies import STUDIES, Choice, LogUniform, Range, get_study

FIXED = {"model": "resnet", "optimizer": "sgd", "dropout": 0.0, "depth": 18, "weight_decay": 1e-4}


@pytest.mark.parametrize("name", sorted(STUDIES))
def test_every_study_can_run_at_its_corners(name: str) -> None:
    preview = preview_space(get_study(name), seed=0)
    assert not preview.refused
    assert preview.num_corners > 10
    assert len(preview.configs) == get_study(name).budget.num_trials
    assert preview.sample_error is None


def test_corners_that_cannot_run_are_named_with_an_example() -> None:
    study = replace(
        get_study("resnet"),
        space={"learning_rate": LogUniform(0.1, 1), "nesterov": Choice((False, True)), "momentum": Choice((0.0, 0.9))},
        fixed=FIXED,
    )
    preview = preview_space(study, seed=0)
    ((text, (count, example)),) = preview.refused.items()
    assert "nesterov" in text
    # both ends of the rate
    assert (count, preview.num_corners) == (2, 8)
    assert (example["nesterov"], example["momentum"]) == (True, 0.0)
    # and so may a draw
    assert preview.sample_error is not None


def test_repeats_and_near_ones_are_counted() -> None:
    few = replace(get_study("resnet"), space={"batch_size": Choice((64, 128))}, fixed={**FIXED, "learning_rate": 0.1})
    preview = preview_space(few.with_budget(num_trials=10), seed=0)
    assert (preview.num_repeated, preview.num_near, preview.num_combinations) == (8, 0, 2)
    narrow = replace(few, space={"learning_rate": LogUniform(0.1, 0.1001)}, fixed=FIXED)
    assert preview_space(narrow.with_budget(num_trials=10), seed=0).num_near == 9


def test_of_many_configurations_the_first_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with all before it: the time of a study of 100,000 trials would be hours."""
    monkeypatch.setattr(space_preview, "MAX_COMPARED", 5)
    few = replace(get_study("resnet"), space={"batch_size": Choice((64, 128))}, fixed={**FIXED, "learning_rate": 0.1})
    preview = preview_space(few.with_budget(num_trials=10), seed=0)
    assert (len(preview.configs), preview.num_compared, preview.num_repeated) == (10, 5, 4)


def test_in_a_uniform_range_near_is_a_share_of_it() -> None:
    study = replace(get_study("resnet"), space={"mixup": Range(0, 1)}, fixed={**FIXED, "learning_rate": 0.1})
    preview = preview_space(study.with_budget(num_trials=100), seed=0)
    assert (preview.num_repeated, preview.num_corners, preview.refused) == (0, 2, {})
    # at most ten values can lie farther than a tenth from one another
    assert 90 <= preview.num_near < 100
    tiny = replace(study, space={"mixup": Range(0, 4e-324)})
    assert preview_space(tiny.with_budget(num_trials=10), seed=0).num_repeated == 8
    whole = replace(study, space={"cutout": Range(0, 1, is_whole=True), "batch_size": Choice((64,))})
    preview = preview_space(whole.with_budget(num_trials=10), seed=0)
    assert (preview.num_repeated, preview.num_near, preview.num_combinations) == (8, 0, 1)


def test_a_space_of_many_corners_is_sampled() -> None:
    rates = tuple(0.001 * (1 + index) for index in range(200))
    study = replace(
        get_study("resnet"),
        space={"learning_rate": Choice(rates), "batch_size": Choice(tuple(range(2, 202)))},
        fixed=FIXED,
    )
    preview = preview_space(study, seed=0)
    assert (preview.is_every_corner, preview.num_corners, preview.num_combinations) == (False, MAX_CORNERS, 40_000)
