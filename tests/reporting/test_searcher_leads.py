"""Searchers side by side: equal epochs, pairs of one seed, and no verdict from too few."""

from dataclasses import replace

import pytest

from cifar_ray.records import EpochMetrics, SweepRecord
from cifar_ray.reporting.comparison import Comparison, Contender, compare
from cifar_ray.reporting.comparison_view import verdicts
from cifar_ray.reporting.leads import compare_searchers
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies.study import Searcher


def contender(
    sweep: SweepRecord, line: EpochMetrics, searcher: Searcher, seed: int, accuracies: list[float]
) -> Contender:
    metrics = [
        replace(line, epoch=epoch, validation_accuracy=accuracy) for epoch, accuracy in enumerate(accuracies, start=1)
    ]
    return Contender(sweep=replace(sweep, searcher=searcher, seed=seed), result=None, scores=None, metrics=metrics)


def searcher_verdicts(contenders: list[Contender]) -> list[str]:
    lines, leads = compare_searchers(Comparison(contenders=tuple(contenders)))
    return lines + [lead.text for lead in leads]


def test_at_as_many_epochs_as_all_have_trained(sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]) -> None:
    contenders = [
        contender(sweep_record, epoch_metrics[0], "random", 0, [0.5, 0.4, 0.9]),
        contender(sweep_record, epoch_metrics[0], "tpe", 0, [0.3, 0.6]),
    ]
    assert searcher_verdicts(contenders) == [
        "After 2 epochs each, tpe: validation 60.00 % (1 sweep).",
        "After 2 epochs each, random: validation 50.00 % (1 sweep).",
        "On validation, after 2 epochs each tpe and random have 1 pair of one seed: too few to tell them apart.",
    ]


def test_not_where_images_studies_or_trainings_differ(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    data = replace(sweep_record.dataset, fingerprint="f" * 64)
    for changes in ({"dataset": data}, {"study": "own"}, {"definition": "[fixed]"}, {"is_cohort": True}):
        contenders = [
            contender(sweep_record, epoch_metrics[0], "random", 0, [0.5]),
            contender(replace(sweep_record, **changes), epoch_metrics[0], "tpe", 0, [0.6]),
        ]
        assert searcher_verdicts(contenders) == []


@pytest.mark.parametrize(
    ("others", "says"),
    [
        (
            [0.50, 0.56, 0.40],
            "tpe leads random by 10.00 points in the mean of 3 pairs of one seed (95 % interval +7.52 to +12.48).",
        ),
        (
            [0.50, 0.66, 0.58],
            "tpe and random are too close to call: 0.67 points in the mean of 3 pairs of one seed "
            "(95 % interval -20.75 to +22.08).",
        ),
    ],
)
def test_sweeps_of_one_seed_are_pairs(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], others: list[float], says: str
) -> None:
    """Seeds differ by more than searchers do: only pairs show the lead."""
    contenders = [
        contender(sweep_record, epoch_metrics[0], searcher, seed, [accuracy])
        for searcher, accuracies in (("random", others), ("tpe", [0.60, 0.65, 0.51]))
        for seed, accuracy in enumerate(accuracies)
    ]
    first, _, lead = searcher_verdicts(contenders)
    assert first == (
        "After 1 epoch each, tpe: validation 58.67 % in the mean of 3 sweeps (st. dev. 7.09, 95 % interval 41.04 to "
        "76.29)."
    )
    assert lead == f"On validation, after 1 epoch each {says}"


def test_the_best_of_three_is_set_against_the_others_by_intervals_that_hold_together(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    """By an interval of two searchers' alone tpe would lead."""
    reached: dict[Searcher, list[float]] = {
        "random": [0.50, 0.56, 0.40],
        "bohb-style": [0.48, 0.50, 0.43],
        "tpe": [0.60, 0.65, 0.45],
    }
    three = [
        contender(sweep_record, epoch_metrics[0], searcher, seed, [accuracy])
        for searcher, accuracies in reached.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    *_, second, _ = searcher_verdicts(three)
    assert second.startswith("On validation, after 1 epoch each tpe and random are too close to call: 8.00 points")
    assert "95 % interval of all 3 comparisons together" in second
    two = [each for each in three if each.sweep.searcher != "bohb-style"]
    assert "tpe leads random by 8.00 points" in searcher_verdicts(two)[-1]


def test_sweeps_of_one_searcher_have_no_such_lines(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    for sweep_id, searcher in (("cnn-1", "random"), ("cnn-2", "random"), ("cnn-3", "tpe")):
        runs.create_sweep(replace(sweep_record, sweep_id=sweep_id, searcher=searcher))
        runs.write_metrics(sweep_id, epoch_metrics)
    assert not any("sweep" in line for line in verdicts(compare(runs, ["cnn-1", "cnn-2"])))
    assert "random: validation" in " ".join(verdicts(compare(runs, ["cnn-1", "cnn-3"])))


def test_configurations_that_another_sweep_found_are_no_searchers(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    drawn, searched, first, second = (
        contender(sweep_record, epoch_metrics[0], searcher, 0, [accuracy])
        for searcher, accuracy in (("random", 0.5), ("tpe", 0.6), ("random", 0.7), ("random", 0.8))
    )
    first, second = (replace(each, sweep=replace(each.sweep, best_of="cnn-1")) for each in (first, second))
    assert searcher_verdicts([first, second]) == searcher_verdicts([first, searched]) == []
    assert searcher_verdicts([drawn, searched, first]) == searcher_verdicts([drawn, searched])


def test_sweeps_of_several_studies_say_nothing_of_searchers(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    sweeps = [
        contender(replace(sweep_record, study=study), epoch_metrics[0], searcher, 0, [0.5])
        for study, searcher in (("cnn", "random"), ("fast", "tpe"))
    ]
    assert searcher_verdicts(sweeps) == []


def test_sweeps_of_one_seed_and_searcher_count_as_their_mean(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    contenders = [
        contender(sweep_record, epoch_metrics[0], searcher, 0, [accuracy])
        for searcher, accuracy in (("random", 0.5), ("random", 0.6), ("tpe", 0.56))
    ]
    said = searcher_verdicts(contenders)
    assert said[:2] == [
        "After 1 epoch each, tpe: validation 56.00 % (1 sweep).",
        "After 1 epoch each, random: validation 55.00 % in the mean of 2 sweeps of 1 seed.",
    ]
    assert searcher_verdicts([contenders[1], contenders[0], contenders[2]]) == said, "in whatever order they are named"


def test_sweeps_without_a_finite_epoch_by_then_are_left_out(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]
) -> None:
    searched, lost = (contender(sweep_record, epoch_metrics[0], searcher, 0, [0.5]) for searcher in ("tpe", "random"))
    lost = replace(lost, metrics=[replace(epoch_metrics[0], train_loss=None)])
    assert searcher_verdicts([searched, lost]) == ["After 1 epoch each, tpe: validation 50.00 % (1 sweep)."]
    assert searcher_verdicts([replace(searched, metrics=lost.metrics), lost]) == []
