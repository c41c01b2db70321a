"""Draws a comparison of sweeps: how far each had come for what it had spent."""

from __future__ import annotations

from matplotlib.axes import Axes

from cifar_ray.errors import plain
from cifar_ray.reporting.comparison import Comparison, Contender, Score
from cifar_ray.reporting.figures import BEST_COLOURS, new_figure, set_note, set_title, to_png
from cifar_ray.reporting.formats import data_name, percent

BAND = (
    "band: 95 % Wilson interval of one model on these images; that the best of many trials is optimistic is not in it"
)


def comparison_figure(comparison: Comparison) -> bytes:
    """Best validation accuracy so far against the amount spent, with 95 % intervals, as PNG."""
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
    # without one, before any epoch, matplotlib would warn
    if axes.get_lines():
        for text in axes.legend(loc="lower right", fontsize=8, frameon=False).get_texts():
            text.set_parse_math(False)
    set_note(figure, plain("; ".join((BAND, *comparison.cautions))))
    return to_png(figure)


def _plot_course(axes: Axes, contender: Contender, colour: str) -> None:
    points = [(spent, best) for spent, best in contender.course if best is not None]
    if not points:
        return
    spent = [each[0] for each in points]
    bands = [Score.of(best, contender.sweep.dataset.num_validation).interval for _, best in points]
    validation = percent(points[-1][1], 2)
    test = f", test {percent(contender.test.accuracy, 2)} %" if contender.test else ""
    label = f"{plain(contender.sweep.sweep_id)}: {validation} %{test}"
    axes.step(spent, [100 * best for _, best in points], where="post", color=colour, linewidth=2, label=label)
    low, high = ([100 * band[side] for band in bands] for side in (0, 1))
    axes.fill_between(spent, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
    axes.plot(spent[-1:], [100 * points[-1][1]], marker="o", color=colour)
