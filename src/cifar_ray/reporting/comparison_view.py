"""A comparison of sweeps as a table with its verdict, and as a figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from rich.console import Group, RenderableType
from rich.text import Text

from cifar_ray.finals import Finals
from cifar_ray.reporting.comparison import ACCELERATOR_SECONDS, Comparison, Contender, Score
from cifar_ray.reporting.figures import BEST_COLOURS, new_figure, set_title, to_png
from cifar_ray.reporting.fitting_table import narrow_table
from cifar_ray.reporting.formats import MISSING, chosen_by, cost_amount, data_name, percent, plain, seconds
from cifar_ray.reporting.paired import Paired
from cifar_ray.reporting.searcher_comparison import searcher_verdicts
from cifar_ray.reporting.terminal import verbatim
from cifar_ray.statistics import wilson_interval

UNPAIRED = (
    "Intervals are as of different images. Of the same ones a paired test (McNemar's) would tell more; not all records "
    "hold the answers by image to make it with."
)
PAIRED = (
    "On the test set, intervals are of a paired bootstrap, p of McNemar's exact test: they know the images' luck, "
    "not that of the seeds, and one comparison, not how many were made."
)
MAX_P = 0.05
SELECTED = (
    "Validation chose each winner among all trials and epochs, so its accuracy flatters; the test set's does not."
)


def comparison_renderable(comparison: Comparison) -> RenderableType:
    """A column a sweep, what speaks against comparing them, then who leads."""
    contenders, common = comparison.contenders, comparison.common_spent
    table = narrow_table()
    table.add_column("", no_wrap=True)
    for each in contenders:
        table.add_column(verbatim(each.sweep.sweep_id), justify="right", overflow="fold")
    for label, cells in _rows(contenders, common):
        style = "bold" if label in ("test %", "best validation %") else None
        table.add_row(Text(label), *(verbatim(cell) for cell in cells), style=style)
    cautions = [verbatim(f"caution: {text}", "yellow") for text in comparison.cautions]
    verdict = [verbatim(line, "bold") for line in verdicts(comparison)]
    tested = [each for each in contenders if each.scores]
    is_paired = all(tested[0].paired(each) for each in tested[1:])
    notes = [
        Text(SELECTED, style="dim"),
        *([Text(PAIRED if is_paired else UNPAIRED, style="dim")] if len(tested) > 1 else []),
    ]
    return Group(table, *cautions, *verdict, *(notes if comparison.has_verdict else ()))


def verdicts(comparison: Comparison) -> list[str]:
    """Who leads, on the test set and on validation at the same spend; which searcher. None where the images differ."""
    if not comparison.has_verdict:
        return []
    contenders = comparison.contenders
    lines = _leads("On the test set", contenders, [each.test for each in contenders], is_paired=True)
    if common := comparison.common_spent:
        at_common = [each.validation(common) for each in contenders]
        lines += _leads(f"On validation, after {common:,.0f} {contenders[0].unit} each", contenders, at_common)
    return lines + searcher_verdicts(contenders)


def comparison_figure(comparison: Comparison) -> bytes:
    """Best validation accuracy so far against what was spent, with 95 % intervals, as PNG."""
    units = sorted({each.unit for each in comparison.contenders})
    figure, axes = new_figure(9.5, 5.2)
    for index, each in enumerate(comparison.contenders):
        _plot_course(axes, each, BEST_COLOURS[index % len(BEST_COLOURS)])
    if common := comparison.common_spent:
        axes.axvline(common, color="0.6", linestyle="--", linewidth=1, label="the most that all have spent")
    axes.set_xlabel(" or ".join(units) + " of training")
    axes.set_ylabel("best validation accuracy so far (%)")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    data = sorted({data_name(each.sweep.dataset) for each in comparison.contenders})
    how = "at the same spend" if common else "by what they spent"
    set_title(axes, f"{len(comparison.contenders)} sweeps {how}, data: {' and '.join(data)}")
    for text in axes.legend(loc="lower right", fontsize=8, frameon=False).get_texts():
        text.set_parse_math(False)
    note = "; ".join(comparison.cautions) or "band: 95 % Wilson interval"
    figure.text(0.01, 0.01, plain(note), fontsize=7, color="0.4", parse_math=False)
    return to_png(figure)


def _plot_course(axes: Axes, contender: Contender, colour: str) -> None:
    num_images = contender.sweep.dataset.num_validation
    points = [(spent, best) for spent, best in contender.course if best > 0]
    if not points or not num_images:
        return
    spent = [each[0] for each in points]
    bands = [wilson_interval(round(best * num_images), num_images) for _, best in points]
    validation = percent(points[-1][1], 2)
    test = f", test {percent(contender.test.accuracy, 2)} %" if contender.test else ""
    label = f"{plain(contender.sweep.sweep_id)}: {validation} %{test}"
    axes.step(spent, [100 * best for _, best in points], where="post", color=colour, linewidth=2, label=label)
    low, high = ([100 * band[side] for band in bands] for side in (0, 1))
    axes.fill_between(spent, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
    axes.plot(spent[-1:], [100 * points[-1][1]], marker="o", color=colour)


def _rows(contenders: Sequence[Contender], common: float | None) -> list[tuple[str, list[str]]]:
    def row(label: str, cells: Iterable[str]) -> tuple[str, list[str]]:
        return label, list(cells)

    sweeps = [each.sweep for each in contenders]
    validation, test = [each.validation() for each in contenders], [each.test for each in contenders]
    rows = [
        row("study", [sweep.study for sweep in sweeps]),
        row("data", [data_name(sweep.dataset) for sweep in sweeps]),
        row("data SHA-256", [sweep.dataset.fingerprint[:12] for sweep in sweeps]),
        row("searcher", [chosen_by(sweep) for sweep in sweeps]),
        row("seed", [str(sweep.seed) for sweep in sweeps]),
        row("trials × epochs", [f"{sweep.num_trials} × {sweep.max_epochs}" for sweep in sweeps]),
        row("epochs trained", map(_epochs, contenders)),
        row("best validation %", map(_accuracy, validation)),
        row("95 % interval", map(_interval, validation)),
        *([row("finals: mean val. %", map(_finals_mean, contenders))] if any(map(_finals, contenders)) else []),
        row("test %", map(_accuracy, test)),
        row("95 % interval", map(_interval, test)),
        row("wall time", [seconds(each.result.wall_s) if each.result else MISSING for each in contenders]),
        row("trained for", map(_spent, contenders)),
        row("price", map(_price, contenders)),
    ]
    if any(each.scores and each.scores.seeds for each in contenders):
        rows.append(row("test %, mean of seeds", map(_seeds, contenders)))
    if common:
        at_common = [each.validation(common) for each in contenders]
        rows.append(row("val. % at same spend", map(_accuracy, at_common)))
        rows.append(row("95 % interval", map(_interval, at_common)))
    return rows


def _leads(
    where: str, contenders: Sequence[Contender], scores: Sequence[Score | None], is_paired: bool = False
) -> list[str]:
    """The best of those that have a score, against each other one; paired, image by image where that is known."""
    known = [(score, each) for score, each in zip(scores, contenders, strict=True) if score]
    known.sort(key=lambda pair: -pair[0].accuracy)
    lines = []
    for score, other in known[1:]:
        best, first = known[0]
        paired = first.paired(other) if is_paired else None
        lines.append(f"{where} {_lead(best, first.sweep.sweep_id, score, other.sweep.sweep_id, paired)}")
    return lines


def _lead(best: Score, name: str, other: Score, other_name: str, paired: Paired | None = None) -> str:
    difference, low, high = (paired.lead, *paired.interval) if paired else best.lead(other)
    interval = f"95 % interval {100 * low:+.2f} to {100 * high:+.2f}"
    if paired:
        p_value = f"= {paired.p_value:.2g}" if paired.p_value else "< 1e-300"
        interval += (
            f", p {p_value}; of {paired.num_images:,} images {paired.only_first:,} right by {name} alone, "
            f"{paired.only_second:,} by {other_name} alone"
        )
    # few images on which they differ: the bootstrap's interval is too narrow then, the exact test's p is not
    if low <= 0 or (paired and paired.p_value > MAX_P):
        return f"{name} and {other_name} are too close to call: {100 * difference:.2f} points, {interval}."
    return f"{name} leads {other_name} by {100 * difference:.2f} points, {interval}."


def _accuracy(score: Score | None) -> str:
    return percent(score.accuracy if score else None, 2)


def _interval(score: Score | None) -> str:
    return f"{percent(score.interval[0], 2)} to {percent(score.interval[1], 2)}" if score else MISSING


def _seeds(contender: Contender) -> str:
    accuracies = [each.accuracy for each in contender.scores.seeds] if contender.scores else []
    return f"{percent(sum(accuracies) / len(accuracies), 2)} (n = {len(accuracies)})" if accuracies else MISSING


def _price(contender: Contender) -> str:
    cost = contender.result.cost if contender.result else None
    return cost_amount(cost) if cost else MISSING


def _finals(contender: Contender) -> Finals | None:
    return contender.result.finals if contender.result else None


def _finals_mean(contender: Contender) -> str:
    """The winner's, with the number of its seeds."""
    finals = _finals(contender)
    winner = finals.winner if finals else None
    return MISSING if winner is None else f"{percent(winner.mean, 2)} (n = {len(winner.retrainings)})"


def _epochs(contender: Contender) -> str:
    finals = _finals(contender)
    return f"{len(contender.metrics)}{f' + {finals.num_epochs} in finals' if finals else ''}"


def _spent(contender: Contender) -> str:
    """In the search."""
    unit = "acc." if contender.unit == ACCELERATOR_SECONDS else "core"
    finals = _finals(contender)
    return f"{contender.spent:,.0f} {unit}-s{', then finals' if finals else ''}"
