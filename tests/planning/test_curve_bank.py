"""Curves that are drawn from measured ones."""

from __future__ import annotations

import random
from statistics import mean

import pytest

from cifar_ray.errors import ConfigurationError
from cifar_ray.planning.curve_bank import SHIFT, CurveBank, TrialCurve, _Neighbours
from cifar_ray.planning.curve_model import NUM_IMAGES, expected_best, model_bank
from cifar_ray.planning.curve_source import modelled
from cifar_ray.studies import get_study


def bank(*rows: list[float], max_epochs: int) -> CurveBank:
    return CurveBank(
        [TrialCurve(accuracies=row, epoch_s=float(index)) for index, row in enumerate(rows)],
        max_epochs=max_epochs,
        num_images=1000,
    )


def test_a_curve_that_was_cut_off_goes_on_as_its_neighbour_did() -> None:
    made = bank([0.2, 0.3], [0.25, 0.35, 0.45, 0.55], max_epochs=4)
    assert made.originals()[0].accuracies == pytest.approx([0.2, 0.3, 0.4, 0.5])
    # chained: the neighbour at the first epoch ends at the second
    chained = bank([0.2], [0.2, 0.3], [0.9, 0.9, 0.95, 0.97], max_epochs=4)
    assert len(chained.originals()[0].accuracies) == 4


def test_the_nearest_are_taken_and_the_farthest_left() -> None:
    near = [[0.30 + 0.001 * index, 0.5] for index in range(3)]
    made = bank([0.3], *near, [0.9, 0.1], max_epochs=2)
    ends = {made._rows[0][way][1] for way in range(len(made._rows[0]))}
    assert min(ends) > 0.49


@pytest.mark.parametrize("digits", [1, 3, 16])
def test_of_equally_near_ones_the_first_are_taken(digits: int) -> None:
    """As if all longer ones were sorted."""
    rng = random.Random(0)
    curves = [[round(rng.random(), digits) for _ in range(rng.choice((1, 2, 8)))] for _ in range(60)]
    for epoch in (1, 2):
        longer = [curve for curve in curves if len(curve) > epoch]
        for accuracy in [curve[-1] for curve in curves]:
            in_order = sorted(longer, key=lambda curve: abs(curve[epoch - 1] - accuracy))
            assert _Neighbours(curves).nearest(accuracy, epoch) == in_order[:3]


def test_a_bank_of_many_curves_that_were_cut_off_is_made_without_comparing_each_with_all() -> None:
    class Counted(list[float]):
        num = 0

        def __len__(self) -> int:
            Counted.num += 1
            return super().__len__()

    rows = [Counted([0.001 * index]) for index in range(200)]
    bank(*rows, [0.1, 0.2, 0.3], max_epochs=3)
    assert Counted.num < 50 * len(rows)


def test_draws_are_whole_images_and_no_better_than_the_best() -> None:
    made = bank([0.2, 0.3], [0.4, 0.5], [0.85, 0.899], max_epochs=2)
    drawn = [made.draw(rng) for rng in [random.Random(0)] for _ in range(300)]
    values = [each for curve in drawn for each in curve.accuracies]
    assert all(round(1000 * each) / 1000 == each and 0 <= each <= 1 for each in values)
    assert max(values) < 0.899 + 5 * SHIFT
    assert {curve.epoch_s for curve in drawn} == {0.0, 1.0, 2.0}
    # moved a little: copies of a trial differ
    assert len({tuple(curve.accuracies) for curve in drawn}) > 20


def test_a_curve_that_diverged_ends_there_and_no_other_goes_on_as_it_did() -> None:
    diverged = TrialCurve(accuracies=[0.2, 0.1], epoch_s=1.0, has_diverged=True)
    cut = TrialCurve(accuracies=[0.2], epoch_s=1.0)
    going = TrialCurve(accuracies=[0.5, 0.6, 0.7, 0.8], epoch_s=1.0)
    made = CurveBank([diverged, cut, going], max_epochs=4, num_images=1000)
    assert [each.accuracies for each in made.originals()] == [
        [0.2, 0.1],
        pytest.approx([0.2, 0.3, 0.4, 0.5]),
        going.accuracies,
    ]
    long = TrialCurve(accuracies=[0.1] * 4, epoch_s=1.0, has_diverged=True)
    with pytest.raises(ConfigurationError, match="end at epoch 1"):
        CurveBank([long, cut], max_epochs=4, num_images=1000)


def test_curves_that_are_too_short_are_refused_with_what_to_take() -> None:
    with pytest.raises(ConfigurationError) as caught:
        bank([0.2, 0.3], max_epochs=3)
    assert "--max-epochs 2" in str(caught.value.hint)
    with pytest.raises(ConfigurationError):
        bank(max_epochs=1)


@pytest.mark.parametrize(
    ("name", "epochs"), [("cnn", None), ("resnet", None), ("resnet-schedule", None), ("fast", None), ("cnn-depth", 50)]
)
def test_the_models_best_is_where_it_is_said_to_be(name: str, epochs: int | None) -> None:
    study = get_study(name).with_budget(max_epochs=epochs)
    source = modelled(study, is_cohort=False, epoch_s=60.0)
    made = source.bank
    rng = random.Random(1)
    best = [max(max(made.draw(rng).accuracies) for _ in range(study.budget.num_trials)) for _ in range(200)]
    assert mean(best) == pytest.approx(expected_best(study), abs=0.004)
    assert made.num_images == NUM_IMAGES
    assert f"trials of {study.budget.max_epochs} epochs, each at its best one" in source.statement


def test_a_model_of_fewer_epochs_ends_on_its_way() -> None:
    """Its curves are those of the study."""
    study = get_study("resnet")
    ends = {
        epochs: mean(
            curve.accuracies[-1] for curve in model_bank(study.with_budget(max_epochs=epochs), 60.0).originals()
        )
        for epochs in (3, 30, 60)
    }
    # (3 / 1.5) / (1 + 3 / 1.5) is 2 / 3 of the way
    assert ends[3] < ends[30] - 0.15
    assert ends[60] == pytest.approx(ends[30], abs=0.01)
    # nor beyond its limit, where the study has fewer epochs
    longer = model_bank(get_study("fast").with_budget(max_epochs=30), 60.0).originals()
    assert max(curve.accuracies[-1] for curve in longer) < 1.0
