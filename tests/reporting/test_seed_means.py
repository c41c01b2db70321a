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
    assert found["title"].endswith("seeds 0-2")
    assert set(found["sweep_ids"]) == {"cnn-0", "cnn-1", "cnn-2"}
    assert found["mean"] == pytest.approx(0.65)
    # t of two degrees of freedom, 4.303, times 0.01 / sqrt(3)
    assert found["interval"] == pytest.approx((0.65 - 0.02484, 0.65 + 0.02484), abs=1e-5)


def test_sweeps_on_other_test_images_or_not_evaluated_are_no_part_of_it(summaries: list[SweepSummary]) -> None:
    first, second, third = summaries
    assert first.scores
    other = replace(first, scores=replace(first.scores, test_fingerprint="ef" * 32))
    assert [each["sweep_ids"] for each in seed_means([other, second, third])] == [("cnn-1", "cnn-0")]
    assert [each["sweep_ids"] for each in seed_means([first, second, replace(third, scores=None)])] == [
        ("cnn-2", "cnn-1")
    ]


def test_several_sweeps_of_one_seed_are_none_over_seeds(summaries: list[SweepSummary]) -> None:
    same = [replace(each, sweep=replace(each.sweep, seed=0)) for each in summaries]
    assert seed_means(same) == []


def test_of_several_sweeps_of_one_seed_the_newest_counts(summaries: list[SweepSummary]) -> None:
    first = summaries[0]
    assert first.scores
    older = replace(
        first,
        sweep=replace(first.sweep, sweep_id="cnn-older", started_at="2020-01-01T00:00:00+00:00"),
        scores=replace(first.scores, sweep_id="cnn-older", accuracy=0.1),
    )
    (found,) = seed_means([*summaries, older])
    assert "cnn-older" not in found["sweep_ids"]
    assert found["mean"] == pytest.approx(0.65)
