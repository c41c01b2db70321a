import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from ray.tune.schedulers.async_hyperband import _Bracket

from cifar_ray.cli.main import main
from cifar_ray.errors import ConfigurationError, RecordError
from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.reporting.curve_bias import Cut, _passing, cuts_by_asha, measure_curve_bias
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore

CURVES = {"t0000": [0.5, 0.6, 0.6], "t0001": [0.2, 0.4, 0.9], "t0002": [0.3, 0.3, 0.5], "t0003": [0.1, 0.7, 0.8]}
"""The best in the end is third after the first epoch."""


def put(runs: RunStore, sweep: SweepRecord, line: EpochMetrics, trial: TrialRecord, outcome: str = "completed") -> None:
    runs.create_sweep(replace(sweep, num_trials=4, max_epochs=3, grace_period=3))
    lines = [
        replace(line, trial_id=name, epoch=epoch, validation_accuracy=accuracy)
        for name, curve in CURVES.items()
        for epoch, accuracy in enumerate(curve, start=1)
    ]
    runs.write_metrics("cnn-1", lines)
    for name in CURVES:
        runs.write_trial("cnn-1", replace(trial, trial_id=name, outcome="completed"))
    runs.write_trial("cnn-1", replace(trial, trial_id="t0003", outcome=outcome))


def passing(trials: Sequence[str], curves: Mapping[str, Sequence[float]], rung: int, factor: int) -> list[str]:
    """One trial after another, by numpy's own quantile."""
    seen = [curves[trial][rung - 1] for trial in trials]
    shares = [np.quantile(seen[:place] or [0.0], 1 - 1 / factor) for place in range(len(seen))]
    return [trial for trial, accuracy, least in zip(trials, seen, shares, strict=True) if accuracy >= least]


def plainly(curves: Mapping[str, Sequence[float]], rungs: Sequence[int], factor: int, num_orders: int) -> Cut:
    """What `cuts_by_asha` ends with, order by order."""
    rng, order = random.Random(0), sorted(curves)
    best = max(order, key=lambda trial: curves[trial][-1])
    num_cut, regret, num_epochs = 0, 0.0, 0
    for _ in range(num_orders):
        rng.shuffle(order)
        left = [*order]
        for rung in rungs:
            before, left = left, passing(left, curves, rung, factor)
            num_epochs += (len(before) - len(left)) * rung
        num_epochs += len(left) * len(curves[best])
        num_cut += best not in left
        regret += curves[best][-1] - max(curves[trial][-1] for trial in left)
    share = num_epochs / (num_orders * len(order) * len(curves[best]))
    return Cut(reduction_factor=factor, chance=num_cut / num_orders, regret=regret / num_orders, epochs=share)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_chance_and_regret_over_every_order(factor: int) -> None:
    orders = list(itertools.permutations(CURVES))
    left = [passing(order, CURVES, 1, factor) for order in orders]
    chance = sum("t0001" not in each for each in left) / len(orders)
    regret = sum(0.9 - max(CURVES[trial][-1] for trial in each) for each in left) / len(orders)
    (cut,) = cuts_by_asha(CURVES, [1], factor, num_orders=4000)
    assert cut.chance == pytest.approx(chance, abs=4 * (0.25 / 4000) ** 0.5)
    assert cut.regret == pytest.approx(regret, abs=0.01)
    assert 0 < chance < 1


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_all_orders_at_once_are_as_one_by_one(factor: int) -> None:
    """Of few values, so that many are equal, and of trials whose names are not in the order of their places."""
    rng = random.Random(factor)
    curves = {f"t{index}": [rng.randrange(9) / 8 for _ in range(9)] for index in reversed(range(13))}
    found = list(cuts_by_asha(curves, [1, 3, 8], factor, num_orders=60))
    for rungs, cut in zip(([1], [1, 3], [1, 3, 8]), found, strict=True):
        by_hand = plainly(curves, rungs, factor, 60)
        assert replace(cut, regret=0.0) == replace(by_hand, regret=0.0)
        assert cut.regret == pytest.approx(by_hand.regret)


def test_the_cuts_are_those_of_ray_tunes_own_rung() -> None:
    rng = random.Random(0)
    for factor in (2, 3, 4):
        # few values: many ties
        accuracies = [rng.randrange(8) / 8 for _ in range(60)]
        bracket = _Bracket(min_t=1, max_t=9, reduction_factor=factor, s=0)
        trials = [type("Trial", (), {"trial_id": f"t{index:04d}"})() for index in range(60)]
        theirs = [
            bracket.on_result(trial, 1, accuracy) == "CONTINUE"
            for trial, accuracy in zip(trials, accuracies, strict=True)
        ]
        column = np.array(accuracies)[:, None]
        assert _passing(column, np.ones_like(column, dtype=bool), factor)[:, 0].tolist() == theirs


def test_of_a_whole_sweep(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], trial_record: TrialRecord
) -> None:
    put(runs, sweep_record, epoch_metrics[0], trial_record)
    bias = measure_curve_bias(runs, "cnn-1")
    first, second = bias.epochs
    assert (bias.num_trials, bias.num_left_out, first.rank_of_best, second.rank_of_best) == (4, 0, 3, 3)
    # ranks 4 2 3 1 against 2 4 1 3: squared differences 4 + 4 + 4 + 4
    assert first.spearman == pytest.approx(1 - 6 * 16 / (4 * 15))
    assert [first.alone[2]] == list(cuts_by_asha(CURVES, [1], 4))
    assert [first.alone[0], first.ladder[0]] == list(cuts_by_asha(CURVES, [1, 2], 2))
    assert [second.ladder[0]] == list(cuts_by_asha(CURVES, [2], 2))
    done = CliRunner().invoke(main, ["results", "curves-bias", "cnn-1", "--storage", runs.objects.uri])
    assert done.exit_code == 0, done.output
    assert "4 full curves of 3 epochs" in done.output
    assert "-0.60" in done.output
    assert max(map(len, done.output.splitlines())) <= 80


def test_of_one_epoch_there_is_nothing_to_compare(runs: RunStore, sweep_record: SweepRecord) -> None:
    runs.create_sweep(replace(sweep_record, max_epochs=1))
    with pytest.raises(ConfigurationError, match="one epoch"):
        measure_curve_bias(runs, "cnn-1")


def test_a_diverged_trial_is_worth_nothing_and_a_failed_one_is_left_out(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], trial_record: TrialRecord
) -> None:
    put(runs, sweep_record, epoch_metrics[0], trial_record, outcome="failed")
    broken = [
        replace(line, train_loss=None) if (line.trial_id, line.epoch) == ("t0001", 3) else line
        for line in runs.metrics("cnn-1")
    ]
    runs.write_metrics("cnn-1", broken)
    bias = measure_curve_bias(runs, "cnn-1")
    assert (bias.num_trials, bias.num_left_out) == (3, 1)
    assert bias.epochs[0].rank_of_best == 1, "t0000 is the best of those that are left"


def test_a_sweep_that_cut_is_refused_with_the_way_out(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], trial_record: TrialRecord
) -> None:
    put(runs, sweep_record, epoch_metrics[0], trial_record, outcome="stopped")
    with pytest.raises(ConfigurationError, match="3 full learning curves and 1 that end early") as refused:
        measure_curve_bias(runs, "cnn-1")
    assert "cifar-ray job submit cnn --max-epochs 3 --grace-period 3" in str(refused.value.hint)
    sweep = replace(runs.sweep("cnn-1"), seed=3, num_trials=2)
    runs.objects.write(layout.sweep_record("cnn-1"), sweep.to_json().encode())
    for name in ("t0002", "t0003"):
        runs.objects.delete(layout.trial_record("cnn-1", name))
    with pytest.raises(ConfigurationError, match="2 full learning curves: the bias takes three") as refused:
        measure_curve_bias(RunStore(runs.objects, " --storage s3://b"), "cnn-1")
    again = "cifar-ray job submit cnn --max-epochs 3 --grace-period 3 --trials N --seed 3 --storage s3://b"
    assert refused.value.hint == f"run one in which three trials or more end well: {again}"


def test_a_sweep_that_has_not_begun_all_its_trials_is_refused(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], trial_record: TrialRecord
) -> None:
    """What its regret says of a grace period is that of a part."""
    put(runs, sweep_record, epoch_metrics[0], trial_record)
    runs.objects.delete("cnn-1/trials/t0003/trial.json")
    with pytest.raises(ConfigurationError, match="has begun 3 of its 4 trials") as refused:
        measure_curve_bias(runs, "cnn-1")
    assert str(refused.value.hint).endswith("--sweep-id cnn-1 --resume")
    with pytest.raises(ConfigurationError) as refused:
        measure_curve_bias(RunStore(runs.objects, " --storage s3://b"), "cnn-1")
    assert str(refused.value.hint).endswith("--sweep-id cnn-1 --resume --storage s3://b")


def test_an_epoch_after_the_last_is_named(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], trial_record: TrialRecord
) -> None:
    put(runs, sweep_record, epoch_metrics[0], trial_record)
    lines = runs.metrics("cnn-1")
    runs.write_metrics("cnn-1", [*lines, replace(lines[-1], epoch=4)])
    with pytest.raises(RecordError, match=r"cnn-1/metrics.jsonl: t0003: epoch 4 of 3"):
        measure_curve_bias(runs, "cnn-1")


def test_a_population_is_refused(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], trial_record: TrialRecord
) -> None:
    put(runs, replace(sweep_record, searcher="pbt"), epoch_metrics[0], trial_record)
    with pytest.raises(ConfigurationError, match="whose trials do not start from scratch") as refused:
        measure_curve_bias(runs, "cnn-1")
    assert "--searcher random" in str(refused.value.hint), "else a study file may have its own searcher"


def test_a_completed_trial_that_lacks_an_epoch_is_named_and_does_not_count_as_nothing(
    runs: RunStore, sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], trial_record: TrialRecord
) -> None:
    put(runs, sweep_record, epoch_metrics[0], trial_record)
    lines = runs.metrics("cnn-1")
    runs.write_metrics("cnn-1", [line for line in lines if (line.trial_id, line.epoch) != ("t0001", 3)])
    with pytest.raises(RecordError, match=r"cnn-1/metrics.jsonl: t0001 has 2 of its 3 epochs"):
        measure_curve_bias(runs, "cnn-1")
