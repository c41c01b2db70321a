"""What the page says of a sweep, and of several side by side, in a real browser: what holds of these, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from browser import REAL, RESULTS, copied_sweeps, option_of, save_page
from playwright.sync_api import Page

from cifar_ray.finals import Finals
from cifar_ray.provenance import Interruption
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TestScores, TrialRecord
from cifar_ray.storage import layout
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WITH_FINALS = "fast-20261127-103736-1b5cbc14"
ON_MORE_IMAGES = "fast-20261127-115009-5bea6064"
"""The winner of WITH_FINALS once more: 3,000 images validate in place of 5,000."""


@pytest.fixture
def copied(tmp_path: Path) -> RunStore:
    return copied_sweeps(tmp_path, REAL)


def said_of(page: Page, runs: RunStore, place: str, tmp_path: Path) -> str:
    page.goto("about:blank")
    page.goto(f"{save_page(runs, tmp_path / 'index.html')}#/{place}")
    page.locator("main h1").wait_for()
    return page.locator("main").inner_text()


def test_nobody_is_told_to_score_the_finals_themselves(page: Page, tmp_path: Path) -> None:
    """It would open the test set a second time for one winner."""
    runs = RunStore(FolderStore(RESULTS / WITH_FINALS))
    finals = layout.finals(WITH_FINALS)
    for place in (f"sweep/{finals}", f"sweep/{finals}/test"):
        said = said_of(page, runs, place, tmp_path)
        assert f"These are the finals of {WITH_FINALS}: they are resumed and scored with it." in said
        assert f"scored with {WITH_FINALS}" in said
        assert "job submit" not in said


def test_a_sweep_interrupted_before_its_first_epoch_is_to_go_on(
    page: Page, runs: RunStore, sweep_record: SweepRecord, tmp_path: Path
) -> None:
    runs.create_sweep(sweep_record)
    for place in ("sweep/cnn-1", "sweep/cnn-1/test"):
        said = said_of(page, runs, place, tmp_path)
        assert "Resume it: cifar-ray job submit cnn --sweep-id cnn-1 --resume" in said
        assert "mend the cause" not in said
    assert "No epoch has been trained yet" in said_of(page, runs, "sweep/cnn-1", tmp_path)


def test_no_trial_of_an_interrupted_sweep_is_running(
    page: Page,
    runs: RunStore,
    sweep_record: SweepRecord,
    trial_record: TrialRecord,
    epoch_metrics: list[EpochMetrics],
    tmp_path: Path,
) -> None:
    runs.create_sweep(sweep_record)
    runs.write_trial("cnn-1", replace(trial_record, outcome="running"))
    runs.write_metrics("cnn-1", epoch_metrics[:1])
    said_of(page, runs, "sweep/cnn-1", tmp_path)
    assert page.locator(".tile .words").inner_text() == "1 interrupted, 1 to come"
    assert page.locator("#trials .outcome").inner_text().endswith("interrupted")
    assert option_of(page, "chart-rungs")["series"][1]["data"][0]["fate"] == "interrupted here"
    assert "1 interrupted, 1 to come" in said_of(page, runs, "", tmp_path)


def test_one_trial_is_ahead_of_nobody_and_one_that_is_not_there_has_no_cards(
    page: Page, runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, tmp_path: Path
) -> None:
    runs.create_sweep(sweep_record)
    runs.write_trial("cnn-1", trial_record)
    said = said_of(page, runs, "sweep/cnn-1", tmp_path)
    assert "There is no second trial with an accuracy.\n" in said
    page.goto(f"{save_page(runs, tmp_path / 'index.html')}#/sweep/cnn-1/trial/t0009")
    page.get_by_text("There is no trial t0009 in cnn-1").wait_for()
    assert not page.locator("main .card:visible").count()


def test_where_all_failed_there_is_no_empty_chart(
    page: Page, runs: RunStore, sweep_record: SweepRecord, result: SweepResult, tmp_path: Path
) -> None:
    runs.create_sweep(sweep_record)
    failed = TrialRecord(trial_id="t0000", config={}, outcome="failed", error="CUDA error\n  File train.py")
    runs.write_trial("cnn-1", failed)
    runs.write_result(replace(result, winner=None, ranking=(), outcomes={"failed": 1}, num_epochs=0))
    said = said_of(page, runs, "sweep/cnn-1", tmp_path)
    assert said.count("No trial finished an epoch") == 4
    assert page.locator(".chart:visible").count() == 0
    assert page.get_by_role("region", name="Failures", exact=True).count() == 1
    identifier = page.locator("#failures tbody th a")
    assert identifier.evaluate("node => node.getClientRects().length") == 1, "it is on one line"
    said = said_of(page, runs, "sweep/cnn-1/trial/t0000", tmp_path)
    assert "CUDA error\n  File train.py" in said
    assert "It finished no epoch" in said
    assert "yet" not in said


def test_where_all_diverged_there_is_nothing_to_score(
    page: Page,
    runs: RunStore,
    sweep_record: SweepRecord,
    result: SweepResult,
    epoch_metrics: list[EpochMetrics],
    tmp_path: Path,
) -> None:
    runs.create_sweep(sweep_record)
    trials = [TrialRecord(trial_id=f"t000{index}", config={}, outcome="diverged", num_epochs=1) for index in (0, 1)]
    for trial in trials:
        runs.write_trial("cnn-1", trial)
    runs.write_metrics("cnn-1", [replace(epoch_metrics[0], trial_id=each.trial_id, train_loss=None) for each in trials])
    outcomes = {"diverged": 2}
    runs.write_result(replace(result, winner=None, ranking=(), outcomes=outcomes, num_epochs=2))
    assert "No epoch has a finite loss" in said_of(page, runs, "sweep/cnn-1", tmp_path)
    assert page.locator("#trials tbody td.number").first.inner_text() == "–", "the rank of none"
    assert "No epoch has a finite loss" in (page.locator("#chart-curves").get_attribute("aria-label") or "")
    assert "No epoch has a finite loss" in page.locator("#best").inner_text()
    for place in ("sweep/cnn-1", "sweep/cnn-1/test"):
        said = said_of(page, runs, place, tmp_path)
        assert "There is no winner to score: look at the failures" in said
        assert "submit evaluate" not in said


def test_whether_the_winner_wants_more_epochs_is_asked_of_the_winner(
    page: Page, copied: RunStore, tmp_path: Path, finals_of: Callable[..., Finals]
) -> None:
    result, trials = copied.result(REAL), {trial.trial_id: trial for trial in copied.trials(REAL)}
    assert result is not None
    best, other = result.ranking[0], next(each for each in result.ranking if (trials[each].best_epoch or 0) < 25)
    copied.write_trial(REAL, replace(trials[best], best_epoch=30))
    said = said_of(page, copied, f"sweep/{REAL}", tmp_path)
    assert "The winner was best at epoch 30 of 30; it may want more" in said
    assert f"--best-of {REAL} --max-epochs 60 --data /tmp/w/cifar10-jpeg" in said
    copied.write_result(replace(result, finals=finals_of(other, 0.44, 0.5)))
    copied.objects.delete(layout.test_scores(REAL))
    said = said_of(page, copied, f"sweep/{REAL}", tmp_path)
    assert f"chosen by the finals before {best}" in said
    assert "The winner was best at epoch" not in said
    assert f"Score the winner on the test set: cifar-ray job submit evaluate {REAL}" in said


def test_no_setting_is_to_be_fixed_at_what_the_winner_has_not(page: Page, tmp_path: Path) -> None:
    """Three of the best four have depth 6, the winner has 8."""
    sweep = "cnn-depth-20261127-072559-dca0a23a"
    said = said_of(page, copied_sweeps(tmp_path, sweep), f"sweep/{sweep}", tmp_path)
    assert "The best 4 trials have a learning rate from" in said
    assert "fix it" not in said


def test_a_wall_time_in_which_it_lay_still_says_so(page: Page, copied: RunStore, tmp_path: Path) -> None:
    other = "cnn-20261123-140840-f23b"
    copied_sweeps(tmp_path, other)
    places = ("", f"sweep/{REAL}", f"compare/{REAL},{other}")
    for place in places:
        assert "with pauses" not in said_of(page, copied, place, tmp_path)
    copied.add_interruption(REAL, Interruption(at="2026-11-23T20:22:00+00:00", why="a signal"))
    for place, times in zip(places, (1, 3, 1), strict=True):
        assert said_of(page, copied, place, tmp_path).count("with pauses") == times


def test_validation_accuracies_of_other_shares_are_not_set_side_by_side(page: Page, tmp_path: Path) -> None:
    runs = copied_sweeps(tmp_path, WITH_FINALS, ON_MORE_IMAGES, "fast-20261126-082542-6d4f82a5")
    said = said_of(page, runs, f"compare/{WITH_FINALS},{ON_MORE_IMAGES}", tmp_path)
    assert "Some hold out more of the images for validation than others" in said
    assert "Best so far" not in said
    assert "47,000 to train, 3,000 to validate" in said
    assert f"the best of {WITH_FINALS}" in said
    validation, test, _ = option_of(page, "chart-compare-scores")["series"]
    assert (len(validation["data"]), len(test["data"])) == (0, 2)

    said = said_of(page, runs, f"compare/{WITH_FINALS},fast-20261126-082542-6d4f82a5", tmp_path)
    assert "Hollow: best validation accuracy of the training that is scored." in said
    assert "Best so far" in said
    assert "Over seeds" not in said
    validation, test, _ = option_of(page, "chart-compare-scores")["series"]
    assert [each["value"][0] for each in validation["data"]] == [pytest.approx(90.8), pytest.approx(90.72)]

    sweep = runs.sweep(WITH_FINALS)
    changed = replace(sweep, dataset=replace(sweep.dataset, fingerprint="ab" * 32))
    runs.objects.write(layout.sweep_record(WITH_FINALS), changed.to_json().encode())
    said = said_of(page, runs, f"compare/{WITH_FINALS},fast-20261126-082542-6d4f82a5", tmp_path)
    assert "The training images differ (SHA-256): no validation accuracy is set against another." in said
    assert "abababababab" in said


def test_sweeps_that_differ_in_their_seed_have_a_mean(
    page: Page, copied: RunStore, scores: TestScores, tmp_path: Path
) -> None:
    sweep, result = copied.sweep(REAL), copied.result(REAL)
    assert result is not None
    for seed in (1, 2):
        copied.create_sweep(replace(sweep, sweep_id=f"cnn-seed-{seed}", seed=seed, commit="another"))
        copied.write_result(replace(result, sweep_id=f"cnn-seed-{seed}"))
        found = copied.test_scores(REAL)
        assert found is not None
        copied.write_test_scores(replace(found, sweep_id=f"cnn-seed-{seed}", accuracy=found.accuracy - 0.01 * seed))
    said = said_of(page, copied, f"compare/{REAL},cnn-seed-1", tmp_path)
    assert "Over seeds" in said
    # 65.08, 64.08 and 63.08: t of two degrees of freedom is 4.30
    assert "seeds 0-2\t64.08\t61.60 to 66.56" in said
    for seed in (1, 2):
        copied.write_test_scores(replace(found, sweep_id=f"cnn-seed-{seed}"))
    assert "seeds 0-2\t65.08\t–" in said_of(page, copied, f"compare/{REAL},cnn-seed-1", tmp_path), "no spread is told"
