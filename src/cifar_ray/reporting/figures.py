"""The report's figures as PNG."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from cifar_ray.records import EpochMetrics, SweepRecord, TestScores
from cifar_ray.reporting.formats import percent

DPI = 120
NUM_IN_LEGEND = 10


def curves_figure(sweep: SweepRecord, metrics: Sequence[EpochMetrics]) -> bytes:
    """Accuracy by epoch of every trial: validation bold, training faint, one colour a trial.

    The legend holds the best values of both, of the best trials where there are many.
    """
    lines: dict[str, list[EpochMetrics]] = defaultdict(list)
    for line in sorted(metrics, key=lambda each: each.epoch):
        lines[line.trial_id].append(line)
    ranked = sorted(lines, key=lambda trial: -max(line.validation_accuracy for line in lines[trial]))
    figure, axes = _new_figure(9.5, 5.6)
    colours = colormaps["turbo"]
    for rank, trial in enumerate(ranked):
        # the best trials get colours far apart, and lie on top
        colour = colours((rank * 0.618034 + 0.08) % 1.0)
        _plot_trial(axes, lines[trial], colour, is_named=rank < NUM_IN_LEGEND, order=len(ranked) - rank)
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    title = f"{sweep.study}: {len(ranked)} trials on {_name_data(sweep)}"
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    if ranked:
        axes.legend(
            title="best validation / training accuracy",
            loc="upper left",
            bbox_to_anchor=(1.01, 1),
            fontsize=8,
            title_fontsize=8,
            frameon=False,
        )
    figure.text(
        0.01,
        0.01,
        f"bold: validation, faint: training   sweep {sweep.sweep_id}   seed {sweep.seed}   "
        f"commit {sweep.commit or 'unknown'}   data SHA-256 {sweep.dataset.fingerprint[:12]}",
        fontsize=7,
        color="0.4",
    )
    return _to_png(figure)


def confusion_figure(scores: TestScores) -> bytes:
    """Shares of each true class (rows) by predicted class, in per cent."""
    classes = list(scores.accuracy_by_class)
    shares = [[count / max(1, sum(row)) for count in row] for row in scores.confusion_matrix]
    figure, axes = _new_figure(7.2, 6.4)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    for row, values in enumerate(shares):
        for column, share in enumerate(values):
            colour = "white" if share > 0.5 else "black"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    title = f"{scores.study}: test accuracy {percent(scores.accuracy, 2)} % on {scores.dataset.name}"
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    return _to_png(figure)


def _plot_trial(
    axes: Axes, lines: Sequence[EpochMetrics], colour: tuple[float, ...], *, is_named: bool, order: int
) -> None:
    epochs = [line.epoch for line in lines]
    validation = [100 * line.validation_accuracy for line in lines]
    training = [100 * line.train_accuracy for line in lines]
    label = f"{lines[0].trial_id}: {max(validation):.1f} / {max(training):.1f} %" if is_named else None
    # a trial of one epoch is a point
    marker = "o" if len(lines) == 1 else None
    axes.plot(epochs, training, color=colour, alpha=0.3, linewidth=1, marker=marker, markersize=3, zorder=order)
    axes.plot(
        epochs, validation, color=colour, linewidth=2, marker=marker, markersize=4, label=label, zorder=order + 100
    )


def _name_data(sweep: SweepRecord) -> str:
    is_cifar = "airplane" in sweep.dataset.classes
    return sweep.dataset.name if is_cifar else f"{sweep.dataset.name} (NOT CIFAR-10)"


def _new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Without pyplot, whose global state is not for threads."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout=ConstrainedLayoutEngine(rect=(0, 0.04, 1, 0.96)))
    return figure, figure.add_subplot()


def _to_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
