"""Every target of the table that this benchmark answers is a figure."""

import pytest

from benchmarks.__main__ import SECTIONS
from benchmarks.gpu_figures import FIGURES as GPU_FIGURES
from benchmarks.measuring import Figure

FIGURES = [*(figure for section in SECTIONS.values() for figure in section.figures), *GPU_FIGURES]

TARGETS = [
    ("data path, all threads", "opponent / ours", "at least", 15),
    ("classic CNN: epoch of one trial", "opponent / ours", "at least", 3.5),
    ("classic CNN: epoch, bare loop", "ours / opponent", "at most", 1.05),
    ("classic CNN: step, all but forward, backward, optimiser", None, "at most", 5),
    ("classic CNN: epoch of a model, cohort of 16", "opponent / ours", "at least", 9),
    ("classic CNN: sweep", "opponent / ours", "at least", 8),
    ("ResNet-18, batch 64: step", "opponent / ours", "at least", 1.9),
    ("ResNet-18, batch 64: share of the bf16 convolution peak", "ours / opponent", "at least", 0.6),
    ("scheduling: overhead of a trial-epoch, 1000 trials in a cohort", None, "at most", 0.05),
    ("scheduling: a trial of 1000 beside one of 30, in a cohort", "ours / opponent", "at most", 1.1),
    ("scheduling: driver's peak memory, 1000 trials in a cohort", None, "at most", 1000),
    ("classic CNN: 4 epochs, checkpoints at 20 MB/s", "ours / opponent", "at most", 1.02),
    ("GPU: ResNet-18, batch 64: epoch, validation included", None, "at most", 1.0),
    ("GPU: ResNet-34, batch 64: epoch, validation included", None, "at most", 1.9),
    ("GPU: study cnn, 30 configurations in a cohort", None, "at most", 60),
]


@pytest.mark.parametrize(("name", "ratio", "kind", "value"), TARGETS, ids=[row[0] for row in TARGETS])
def test_a_target_is_a_figure(name: str, ratio: str | None, kind: str, value: float) -> None:
    (figure,) = [figure for figure in FIGURES if figure.name == name]
    assert figure.target is not None
    assert (figure.target.kind, figure.target.value) == (kind, value)
    assert bool(figure.opponents) is (ratio is not None)
    if ratio is not None:
        assert figure.ratio == ratio


def test_figures_have_names_of_their_own() -> None:
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_a_figure_compares_series_of_its_own_section(figure: Figure) -> None:
    assert figure.section in {*SECTIONS, "gpu"}
    assert all(series.startswith(f"{figure.section}/") for series in figure.opponents)
