import struct
import threading
from dataclasses import replace

import matplotlib.pyplot
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cifar_ray.records import EpochMetrics, SweepRecord, TestScores
from cifar_ray.reporting.figures import BEST_COLOURS, confusion_figure, curves_figure, new_figure, set_note, to_png


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, to look into."""
    seen: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kw: (seen.append(self), save(self, *args, **kw))[1])
    return seen


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def many(metrics: EpochMetrics, num_trials: int) -> list[EpochMetrics]:
    return [
        replace(metrics, trial_id=f"t{trial:04d}", epoch=epoch, validation_accuracy=(trial + epoch) / 100)
        for trial in range(num_trials)
        for epoch in range(1, (1, 4, 16)[trial % 3] + 1)
    ]


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    return [text.get_text() for text in found.get_texts()] if found else []


def test_curves_hold_validation_and_training_of_every_trial(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], drawn: list[Figure]
) -> None:
    width, height = size(curves_figure(sweep_record, epoch_metrics))
    assert (800 <= width <= 2000, 500 <= height <= 1500) == (True, True)
    axes = drawn[0].axes[0]
    lines = axes.get_lines()
    assert [list(line.get_ydata()) for line in lines[:2]] == [
        pytest.approx([10, 20, 30, 40]),
        pytest.approx([15, 25, 35, 45]),
    ]
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color() == lines[3].get_color()
    assert lines[0].get_linewidth() < lines[1].get_linewidth()
    assert legend(axes) == ["t0000: val 45.0 %, train 40.0 %", "t0001: val 10.0 %, train 10.0 %"]
    title = axes.get_title(loc="left")
    assert title == "cnn: 2 trials, data: cifar10"
    footer = drawn[0].texts[0].get_text()
    assert "seed 0" in footer
    assert "commit abc" in footer


def test_a_trial_of_one_epoch_is_seen(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], drawn: list[Figure]
) -> None:
    curves_figure(sweep_record, [line for line in epoch_metrics if line.trial_id == "t0001"])
    assert all(line.get_marker() not in (None, "None", "") for line in drawn[0].axes[0].get_lines())


def test_an_epoch_that_diverged_is_nobodys_best(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], drawn: list[Figure]
) -> None:
    """As in the ledger: whatever accuracy it may have had by chance."""
    last = replace(epoch_metrics[4], epoch=2, train_loss=None, validation_accuracy=0.9, train_accuracy=0.9)
    alone = replace(last, trial_id="t0002", epoch=1)
    curves_figure(sweep_record, [*epoch_metrics, last, alone])
    axes = drawn[0].axes[0]
    assert legend(axes) == [
        "t0000: val 45.0 %, train 40.0 %",
        "t0001: val 10.0 %, train 10.0 %",
        "t0002: val – %, train – %",
    ]
    assert [line.get_markevery() for line in axes.get_lines()[1::2]] == [[3], [0], []]


def test_of_many_trials_the_legend_names_the_best(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], drawn: list[Figure]
) -> None:
    curves_figure(sweep_record, many(epoch_metrics[0], 30))
    axes = drawn[0].axes[0]
    names = legend(axes)
    assert len(names) == len(BEST_COLOURS) + 1
    assert names[0].startswith("t0029")
    assert names[-1] == "and 22 others"
    assert len({line.get_color() for line in axes.get_lines()}) == 31, "a colour each, and the legend's grey"


def test_of_equal_trials_the_first_by_id_is_drawn_as_the_best_as_in_the_ranking(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], drawn: list[Figure]
) -> None:
    second_first = [replace(epoch_metrics[0], trial_id=trial) for trial in ("t0001", "t0000")]
    curves_figure(sweep_record, second_first)
    assert [text[:5] for text in legend(drawn[0].axes[0])] == ["t0000", "t0001"]


def test_a_sweep_without_epochs_still_has_a_figure(sweep_record: SweepRecord) -> None:
    size(curves_figure(sweep_record, []))


def test_other_data_are_loud(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], shapes_scores: TestScores, drawn: list[Figure]
) -> None:
    curves_figure(replace(sweep_record, dataset=shapes_scores.dataset), epoch_metrics)
    confusion_figure(shapes_scores)
    assert all("shapes (NOT CIFAR-10)" in figure.axes[0].get_title(loc="left") for figure in drawn)


def test_names_are_no_mathematics(
    sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics], scores: TestScores, drawn: list[Figure]
) -> None:
    name = r"$\frac$ \x"
    dataset = replace(sweep_record.dataset, name=name)
    hostile = [replace(line, trial_id=f"_{name}") for line in epoch_metrics]
    size(curves_figure(replace(sweep_record, dataset=dataset, commit=name), hostile))
    size(confusion_figure(replace(scores, dataset=dataset, accuracy_by_class={name: 1.0}, confusion_matrix=((1,),))))
    assert legend(drawn[0].axes[0])[0].startswith("_$")


def test_confusion_cells_hold_shares_of_the_true_class(shapes_scores: TestScores, drawn: list[Figure]) -> None:
    size(confusion_figure(shapes_scores))
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.texts] == ["90", "10", "30", "70"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["circle", "square"]


def test_figures_leave_no_global_state(sweep_record: SweepRecord, epoch_metrics: list[EpochMetrics]) -> None:
    pngs: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: pngs.append(curves_figure(sweep_record, epoch_metrics))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(pngs) == 3
    assert len(set(pngs)) == 1
    assert matplotlib.pyplot.get_fignums() == []


@pytest.mark.parametrize("width", [9.5, 13.5])
def test_small_print_stays_in_the_picture_and_off_the_axes(width: float) -> None:
    for note in ("short", "cnn-20261123-140840-f23b was measured on another machine; " * 12):
        figure, axes = new_figure(width, 5.2)
        axes.set_xlabel("epoch")
        set_note(figure, note)
        to_png(figure)
        (text,) = figure.texts
        box, around = text.get_window_extent(), axes.get_tightbbox()
        assert around is not None
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= around.y0
        assert text.get_text().replace("\n", " ") == note.strip()
