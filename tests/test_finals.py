from dataclasses import replace

import pytest

from cifar_ray.finals import Finalist, Finals, Retraining, describe, rank_finalists


def finalist(trial: str, searched: float, *accuracies: float | None, outcome: str = "completed") -> Finalist:
    return Finalist(
        trial_id=trial,
        searched_accuracy=searched,
        retrainings=tuple(
            Retraining(
                trial_id=f"t{index:04d}",
                seed=1000 + index,
                outcome=outcome if index == 0 else "completed",
                best_epoch=4,
                best_validation_accuracy=accuracy,
            )
            for index, accuracy in enumerate(accuracies)
        ),
    )


LUCKY = finalist("t0003", 0.70, 0.55, 0.62, 0.69)
SOLID = finalist("t0007", 0.68, 0.66, 0.67, 0.68)


def test_the_mean_chooses_and_the_shrinkage_shows_the_luck() -> None:
    finals = Finals(finalists=rank_finalists([LUCKY, SOLID]), num_epochs=24, accelerator_seconds=0.0)
    assert finals.winner is SOLID
    assert (LUCKY.mean, LUCKY.shrinkage) == (pytest.approx(0.62), pytest.approx(0.08))
    # 4.3027 * 0.07 / sqrt(3)
    assert LUCKY.interval == pytest.approx((0.62 - 0.173889, 0.62 + 0.173889), abs=1e-5)
    assert SOLID.best is SOLID.retrainings[2]
    assert describe(finals) == (
        "finals: t0007 wins with a mean validation accuracy of 67.00 % over 3 seeds (95 % interval 64.52 to 69.48); "
        "the sweep had given it 68.00 %, 1.00 points more"
    )
    assert finalist("t0001", 0.99, 0.97, 0.99).interval == (pytest.approx(0.85294, abs=1e-5), 1)
    poorer = replace(finals, finalists=(finalist("t0007", 0.65, 0.66, 0.67, 0.68),))
    assert describe(poorer).endswith("; the sweep had given it 65.00 %, 2.00 points less")
    longer = replace(finals, finalists=(replace(SOLID, has_other_epochs=True),))
    assert "the sweep had given it 68.00 %, in a training of other length" in describe(longer)
    assert Finals.from_json(finals.to_json()) == finals


def test_of_equal_means_the_better_in_the_sweep_comes_first() -> None:
    worse, better = finalist("t0001", 0.5, 0.6), finalist("t0002", 0.7, 0.6)
    assert rank_finalists([worse, better]) == (better, worse)


def test_one_that_broke_off_comes_last_whatever_its_mean() -> None:
    broken = finalist("t0009", 0.72, 0.90, 0.90, outcome="diverged")
    assert rank_finalists([broken, LUCKY]) == (LUCKY, broken)


def test_without_any_accuracy_there_is_no_winner() -> None:
    lost = finalist("t0003", 0.7, None, None, outcome="failed")
    finals = Finals(finalists=(lost,), num_epochs=0, accelerator_seconds=0.0)
    assert (lost.mean, lost.interval, lost.best, lost.shrinkage, finals.winner) == (None,) * 5
    assert "the sweep's own best stands" in describe(finals)
    assert "of 60.00 % over 1 seed; the sweep" in describe(replace(finals, finalists=(finalist("t0003", 0.5, 0.6),)))
