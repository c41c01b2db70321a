"""Studies that were run on several seeds: told by their means, set against each other in pairs of one seed."""

import json
from collections.abc import Callable
from dataclasses import replace

from click.testing import CliRunner

from cifar_ray.cli.main import main
from cifar_ray.records import SweepResult, TrialRecord
from cifar_ray.reporting.comparison import compare
from cifar_ray.reporting.comparison_view import verdicts
from cifar_ray.storage.runs import RunStore

Put = Callable[..., None]


def put_seeds(put: Put, name: str, *accuracies: float | None, **changes: object) -> list[str]:
    for seed, accuracy in enumerate(accuracies):
        put(f"{name}-{seed}", accuracy, seed=seed, **changes)
    return [f"{name}-{seed}" for seed in range(len(accuracies))]


def test_seeds_are_told_by_their_mean_and_none_of_them_leads(runs: RunStore, put: Put) -> None:
    """Who is told the best seed would choose it on the test set."""
    sweeps = put_seeds(put, "cnn", 0.60, 0.62, 0.64)
    sweeps += put_seeds(put, "ema", 0.70, 0.715, 0.735, study="cnn-ema")
    comparison = compare(runs, sweeps)
    first, second, test, validation = verdicts(comparison)
    assert first == (
        "cnn, 2 × 4, grace 1, seeds 0-2: test 62.00 % in the mean of 3 sweeps (st. dev. 2.00, 95 % interval 57.03 to "
        "66.97); validation 45.00 % in the mean of 3 sweeps."
    )
    assert second.startswith("cnn-ema, 2 × 4, grace 1, seeds 0-2: test 71.67 %")
    assert test == (
        "On the test set cnn-ema leads cnn by 9.67 points in the mean of 3 pairs of one seed "
        "(95 % interval +8.95 to +10.38)."
    )
    assert validation.startswith("On validation, after 3 accelerator-seconds each cnn and cnn-ema differ by 0.00")
    assert not any("seeds differ" in text for text in comparison.cautions)
    output = CliRunner().invoke(main, ["results", "compare", *sweeps, "--storage", runs.objects.uri]).output
    said = " ".join(output.split())
    assert "but not the choice of test images" in said
    assert "McNemar" not in said


def test_the_best_of_three_groups_leads_by_intervals_that_hold_together(runs: RunStore, put: Put) -> None:
    sweeps = put_seeds(put, "cnn", 0.60, 0.62, 0.64)
    best = put_seeds(put, "ema", 0.70, 0.72, 0.70, study="cnn-ema")
    two = verdicts(compare(runs, [*sweeps, *best]))[2]
    assert two.startswith("On the test set cnn-ema leads cnn by 8.67 points")
    assert "together" not in two
    third = put_seeds(put, "fast", 0.60, 0.61, 0.62, study="fast")
    found = [each for each in verdicts(compare(runs, [*sweeps, *best, *third])) if "On the test set" in each]
    assert ["95 % interval of all 3 comparisons together" in each for each in found] == [True, True]
    assert [" leads " in each for each in found] == [False, True]


def test_sweeps_that_are_not_evaluated_are_left_out_and_named(runs: RunStore, put: Put) -> None:
    sweeps = put_seeds(put, "cnn", 0.60, None, 0.64)
    (line,) = verdicts(compare(runs, sweeps))
    assert ": test 62.00 % in the mean of 2 sweeps (" in line
    assert "), not evaluated: cnn-1; validation 45.00 % in the mean of 2 sweeps." in line
    (line,) = verdicts(compare(runs, put_seeds(put, "new", None, None, study="new")))
    assert ": none evaluated; validation 45.00 % in the mean of 2 sweeps." in line


def test_mirror_images_and_finals_have_their_own_numbers(
    runs: RunStore, put: Put, result: SweepResult, trial_record: TrialRecord
) -> None:
    sweeps = put_seeds(put, "cnn", 0.60, 0.62)
    for sweep_id, flipped in zip(sweeps, (0.63, 0.64), strict=True):
        found = runs.test_scores(sweep_id)
        assert found is not None
        runs.write_test_scores(replace(found, accuracy_with_flips=flipped))
        winner = replace(trial_record, best_validation_accuracy=flipped + 0.1)
        runs.write_result(replace(result, sweep_id=sweep_id, winner=winner))
    (line,) = verdicts(compare(runs, sweeps))
    assert "), with mirror images 63.50 %; validation 73.50 % in the mean" in line
    runs.write_test_scores(replace(found, accuracy_with_flips=None))
    assert "mirror" not in verdicts(compare(runs, sweeps))[0]


def test_scores_on_other_test_images_have_no_common_mean(runs: RunStore, put: Put) -> None:
    sweeps = put_seeds(put, "cnn", 0.60, 0.62) + put_seeds(put, "ema", 0.70, 0.715, study="cnn-ema")
    found = runs.test_scores("ema-1")
    assert found is not None
    runs.write_test_scores(replace(found, test_fingerprint="ef" * 32))
    first, second, *others = verdicts(compare(runs, sweeps))
    assert "test 61.00 % in the mean of 2 sweeps" in first
    assert ": on test images that differ; validation" in second
    assert not [each for each in others if "test set" in each]


def test_single_sweeps_beside_seeds_keep_their_lines_among_themselves(runs: RunStore, put: Put) -> None:
    sweeps = put_seeds(put, "cnn", 0.60, 0.62)
    for name, accuracy in (("one", 0.70), ("two", 0.75)):
        put(name, accuracy, study=name, seed=1)
    comparison = compare(runs, [*sweeps, "one", "two"])
    group, test, _ = verdicts(comparison)
    assert group.startswith("cnn, 2 × 4, grace 1, seeds 0, 1: test 61.00 %")
    assert test.startswith("On the test set two leads one by 5.00 points")
    assert (
        "of one seed, and so not set against the means of several (compare two by two): one, two" in comparison.cautions
    )
    assert any("seeds differ" in text for text in comparison.cautions)


def test_seeds_on_other_images_have_means_and_no_lead(runs: RunStore, put: Put) -> None:
    sweeps = put_seeds(put, "cnn", 0.60, 0.62) + put_seeds(put, "new", 0.70, 0.72, fingerprint="cd" * 32)
    lines = verdicts(compare(runs, sweeps))
    assert [line.partition(",")[0] for line in lines] == ["cnn", "cnn"]
    assert not any(" leads " in line for line in lines)


def test_groups_for_a_program(runs: RunStore, put: Put) -> None:
    sweeps = put_seeds(put, "cnn", 0.60, 0.62, None) + put_seeds(put, "ema", 0.70, 0.721, study="cnn-ema")
    done = CliRunner().invoke(main, ["results", "compare", *sweeps, "--json", "--storage", runs.objects.uri])
    found = json.loads(done.stdout)
    cnn, _ = found["groups"]
    assert (cnn["name"], cnn["seeds"], cnn["sweep_ids"]) == ("cnn", [0, 1, 2], sweeps[:3])
    assert (cnn["test"]["mean"], cnn["test"]["num_sweeps"]) == (0.61, 2)
    assert (cnn["test"]["by_seed"], cnn["not_evaluated"]) == ({"0": 0.6, "1": 0.62}, ["cnn-2"])
    assert (cnn["test_with_flips"], cnn["validation"]["num_sweeps"]) == (None, 2)
    lead = found["leads"][0]
    assert (lead["first"], lead["second"], lead["num_pairs"], lead["p_value"]) == ("cnn-ema", "cnn", 2, None)
    assert lead["is_clear"]
