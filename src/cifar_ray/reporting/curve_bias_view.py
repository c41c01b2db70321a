"""Shows as tables how ASHA would have fared on a sweep's full learning curves."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from cifar_ray.reporting.curve_bias import NUM_ORDERS, REDUCTION_FACTORS, CurveBias, Cut, EpochBias
from cifar_ray.reporting.fitting_table import FittingTable, narrow_table
from cifar_ray.reporting.formats import MISSING, percent
from cifar_ray.reporting.terminal import verbatim

LEGEND = (
    "Spearman, Kendall: rank correlation of the validation accuracies after that epoch with those after the last. "
    "rank: after that epoch, of the trial that is best after the last. cut %: chance that ASHA with reduction factor r "
    f"stops this trial, over {NUM_ORDERS:,} random orders in which trials come to a rung. regret: points that the best "
    "of the trials left lacks in the end. epochs %: of all epochs, those that are trained. These three are of "
    "individual trials: those of a cohort's pass are ranked together, and fewer are promoted than here (cifar-ray "
    "plan STUDY --curves SWEEP simulates that)."
)


def curve_bias_renderable(bias: CurveBias) -> RenderableType:
    """Two tables: a single rung after each epoch, and each epoch as the grace period of all rungs."""
    heading = f"{bias.sweep_id}: study {bias.study}, {bias.num_trials} full curves of {bias.max_epochs} epochs"
    left_out = [verbatim(f"left out: {bias.num_left_out} trials that failed", "yellow")] if bias.num_left_out else []
    return Group(
        verbatim(heading, "bold"),
        *left_out,
        Text("\nOne rung, after that epoch", style="bold"),
        FittingTable(_alone(bias.epochs), 1),
        Text("\nAll rungs, that epoch being the grace period", style="bold"),
        FittingTable(_ladders(bias.epochs), 1),
        Text(f"\n{LEGEND}", style="dim"),
    )


def _alone(epochs: Sequence[EpochBias]) -> Table:
    table = _table("Spearman", "Kendall", "rank", *_columns("cut %", "regret"))
    for each in epochs:
        correlations = [MISSING if value is None else f"{value:.2f}" for value in (each.spearman, each.kendall)]
        cuts = [text for cut in each.alone for text in _cells(cut)[:2]]
        table.add_row(str(each.epoch), *correlations, str(each.rank_of_best), *cuts)
    return table


def _ladders(epochs: Sequence[EpochBias]) -> Table:
    table = _table(*_columns("cut %", "regret", "epochs %"))
    for each in epochs:
        table.add_row(str(each.epoch), *(text for cut in each.ladder for text in _cells(cut)))
    return table


def _table(*headings: str) -> Table:
    return narrow_table(Column("epoch", no_wrap=True), numbers=headings)


def _columns(*names: str) -> list[str]:
    return [f"{name}\nr = {factor}" for factor in REDUCTION_FACTORS for name in names]


def _cells(cut: Cut) -> list[str]:
    return [percent(cut.chance, 0), percent(cut.regret, 2), percent(cut.epochs, 0)]
