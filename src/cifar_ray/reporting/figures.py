"""Draws the report's figures as PNG."""

from __future__ import annotations

import io
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from cifar_ray.errors import plain
from cifar_ray.progress.ranking import rank_key
from cifar_ray.records import EpochMetrics, SweepRecord, TestScores
from cifar_ray.reporting.formats import data_name, percent
from cifar_ray.wording import counted

DPI = 120
TITLE_WIDTH = 64
"""In characters."""
NOTE_DENSITY, NOTE_LINE = 16, 0.12
"""Small print: characters per inch, and inches per line."""

BEST_COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b")
"""For the trials in the legend: Okabe and Ito's palette for the colour-blind, with brown in place of yellow."""
BEST_MARKERS = "os^DvPX*"


@dataclass(frozen=True)
class _Look:
    """How one trial is drawn."""

    colour: str | tuple[float, ...]
    width: float
    opacity: float
    label: str | None
    marker: str
    order: int


def curves_figure(sweep: SweepRecord, metrics: Sequence[EpochMetrics]) -> bytes:
    """Accuracy by epoch of every trial: validation bold, training faint, one colour per trial.

    The legend gives the best values of both, for the best trials only where there are many; a marker shows each
    trial's best validation accuracy.
    """
    trials = _rank_trials(metrics)
    figure, axes = new_figure(9.5, 5.6)
    for rank, lines in enumerate(trials):
        _plot_trial(axes, lines, _look(rank, lines, len(trials)))
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy (%)")
    axes.set_xlim(left=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    set_title(axes, f"{plain(sweep.study)}: {counted(len(trials), 'trial')}, data: {data_name(sweep.dataset)}")
    if trials:
        _add_legend(axes, len(trials))
    set_note(
        figure,
        f"bold: validation, faint: training   sweep {plain(sweep.sweep_id)}   seed {sweep.seed}   "
        f"commit {plain(sweep.commit or 'unknown')}   data SHA-256 {sweep.dataset.fingerprint[:12]}",
    )
    return to_png(figure)


def confusion_figure(scores: TestScores) -> bytes:
    """Shares of each true class (rows) by predicted class, in per cent."""
    classes = [plain(name) for name in scores.accuracy_by_class]
    shares = [[count / max(1, sum(row)) for count in row] for row in scores.confusion_matrix]
    figure, axes = new_figure(7.2, 6.6)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(classes)), classes, parse_math=False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (each row sums to 100 %)")
    for row, values in enumerate(shares):
        for column, share in enumerate(values):
            colour = "white" if share > 0.5 else "black"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    set_title(
        axes,
        f"{plain(scores.study)}: test accuracy {percent(scores.accuracy, 2)} %\n"
        f"{scores.num_images:,} images, data: {data_name(scores.dataset)}",
    )
    return to_png(figure)


def set_title(axes: Axes, text: str) -> None:
    """Set a wrapped title; matplotlib's own wrapping would take a dollar sign in a name for mathematics."""
    wrapped = "\n".join(textwrap.fill(line, TITLE_WIDTH) for line in text.splitlines())
    axes.set_title(wrapped, loc="left", fontsize=11, fontweight="bold", parse_math=False)


def set_note(figure: Figure, text: str) -> None:
    """Add small print along the bottom, on as many lines as it takes; the axes make room for it."""
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(text, int(NOTE_DENSITY * width))
    bottom = (0.1 + NOTE_LINE * len(lines)) / height
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(0, bottom, 1, 1 - bottom)))
    figure.text(0.01, 0.01, "\n".join(lines), fontsize=7, color="0.4", va="bottom", parse_math=False)


def _rank_trials(metrics: Sequence[EpochMetrics]) -> list[list[EpochMetrics]]:
    """Each trial's epochs in order, the trial of the best validation accuracy first, of equal ones that of lower id."""
    trials: dict[str, list[EpochMetrics]] = defaultdict(list)
    for line in sorted(metrics, key=lambda each: each.epoch):
        trials[line.trial_id].append(line)
    return sorted(trials.values(), key=lambda lines: rank_key(_best_validation(lines), lines[0].trial_id))


def _best_validation(lines: Sequence[EpochMetrics]) -> float | None:
    """The best among epochs with finite losses, as in the records; None where there are none."""
    return max((line.validation_accuracy for line in lines if line.is_finite), default=None)


def _look(rank: int, lines: Sequence[EpochMetrics], num_trials: int) -> _Look:
    """Strong colours and a label for the best trials; all others thinner, in pale hues as distinct as possible."""
    order = 2 * (num_trials - rank)
    if rank < len(BEST_COLOURS):
        training = max((line.train_accuracy for line in lines if line.is_finite), default=None)
        validation = _best_validation(lines)
        label = f"{plain(lines[0].trial_id)}: val {percent(validation)} %, train {percent(training)} %"
        return _Look(BEST_COLOURS[rank], 2.2, 0.35, label, BEST_MARKERS[rank], order)
    red, green, blue, _ = colormaps["hsv"](rank * 0.618034 % 1.0)
    pale = tuple(0.35 * channel + 0.45 for channel in (red, green, blue))
    return _Look(pale, 1.3, 0.3, None, ".", order)


def _plot_trial(axes: Axes, lines: Sequence[EpochMetrics], look: _Look) -> None:
    epochs = [line.epoch for line in lines]
    validation = [100 * line.validation_accuracy for line in lines]
    training = [100 * line.train_accuracy for line in lines]
    best = _best_validation(lines)
    marked = [index for index, line in enumerate(lines) if line.is_finite and line.validation_accuracy == best][:1]
    # a trial of one epoch has no line: its training accuracy is a point too
    point = "." if len(lines) == 1 else None
    axes.plot(epochs, training, color=look.colour, alpha=look.opacity, linewidth=1, marker=point, zorder=2)
    axes.plot(
        epochs,
        validation,
        color=look.colour,
        linewidth=look.width,
        marker=look.marker,
        markevery=marked,
        markersize=6,
        label=look.label,
        zorder=10 + look.order,
    )


def _add_legend(axes: Axes, num_trials: int) -> None:
    others = num_trials - len(BEST_COLOURS)
    if others > 0:
        axes.plot([], [], color="0.7", linewidth=1.3, label=f"and {counted(others, 'other')}")
    handles = [handle for handle in axes.get_lines() if not str(handle.get_label()).startswith("_child")]
    legend = axes.legend(
        handles=handles,
        labels=[str(handle.get_label()) for handle in handles],
        title="best validation and training accuracy",
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        fontsize=8,
        title_fontsize=8,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure made without pyplot, whose global state is not thread-safe."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot()


def to_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
