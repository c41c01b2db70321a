from dataclasses import replace

import pytest

from cifar_ray.records import SweepRecord, SweepResult, TestScores
from cifar_ray.reporting.seed_means import seed_means
from cifar_ray.storage.runs import SweepSummary


@pytest.fixture
def summaries(sweep_record: SweepRecord, result: SweepResult, scores: TestScores) -> list[SweepSummary]:
    """Seeds 2, 1 and 0, of test accuracies 0.66, 0.65 and 0.64, on other machines from other commits."""
    return [
        SweepSummary(
            sweep=replace(sweep_record, sweep_id=f"cnn-{seed}", seed=seed, commit=f"c{seed}", cpus_per_trial=seed + 1),
            result=result,
            scores=replace(scores, sweep_id=f"cnn-{seed}", accuracy=0.64 + seed / 100),
        )
        for seed in (2, 1, 0)
    ]


def test_mean_and_interval_over_seeds(summaries: list[SweepSummary]) -> None:
    (found,) = seed_means(summaries)
    assert (found.study, found.seeds, found.sweep_ids) == ("cnn", (0, 1, 2), ("cnn-0", "cnn-1", "cnn-2"))
    assert found.mean == pytest.approx(0.65)
    # t of two degrees of freedom, 4.303, times 0.01 / sqrt(3)
    assert found.interval == pytest.approx((0.65 - 0.02484, 0.65 + 0.02484), abs=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"study": "cnn-ema"},
        {"num_trials": 3},
        {"max_epochs": 5},
        {"searcher": "tpe"},
        {"is_cohort": True},
        {"num_finalists": 1},
        {"best_of": "cnn-9"},
        {"changes": ("cutout=8",)},
        {"versions": {"python": "3.12"}},
    ],
)
def test_what_differs_in_more_than_the_seed_is_of_another_kind(
    summaries: list[SweepSummary], change: dict[str, object]
) -> None:
    other = replace(summaries[0], sweep=replace(summaries[0].sweep, **change))  # type: ignore[arg-type]
    assert [each.seeds for each in seed_means([other, *summaries[1:]])] == [(0, 1)]


def test_other_images_are_of_another_kind(summaries: list[SweepSummary], scores: TestScores) -> None:
    first, *others = summaries
    for change in ({"fingerprint": "ef" * 32}, {"validation_share": 0.02}):
        dataset = replace(first.sweep.dataset, **change)  # type: ignore[arg-type]
        other = replace(first, sweep=replace(first.sweep, dataset=dataset))
        assert [each.seeds for each in seed_means([other, *others])] == [(0, 1)]
    other = replace(first, scores=replace(scores, test_fingerprint="ef" * 32))
    assert [each.seeds for each in seed_means([other, *others])] == [(0, 1)]


def test_a_seed_counts_once_and_by_its_newest_sweep(summaries: list[SweepSummary], scores: TestScores) -> None:
    older = replace(summaries[0].sweep, sweep_id="cnn-older", started_at="2025-01-01T00:00:00+00:00")
    again = SweepSummary(sweep=older, result=None, scores=replace(scores, sweep_id="cnn-older", accuracy=0.1))
    assert seed_means([*summaries, again]) == seed_means(summaries)


def test_one_seed_or_none_scored_has_no_mean(summaries: list[SweepSummary]) -> None:
    assert seed_means([summaries[0], *(replace(each, scores=None) for each in summaries[1:])]) == []
