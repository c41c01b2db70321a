"""The figures of one GPU and their targets, which are an H100's."""

from __future__ import annotations

from typing import Literal

from benchmarks.measuring import Figure, Target

DEPTHS: tuple[Literal[18, 34], ...] = (18, 34)
BATCH_SIZES = (64, 512)
EPOCH_TARGETS_S = {(18, 64): 1.0, (34, 64): 1.9}
"""By depth and batch size."""
ACCURACIES = (0.9237, 0.95)
"""On the test set: the report's best, and what good recipes reach."""
STUDY_TARGET_S = 60.0
CONVOLUTION_PEAK = "gpu/fastest convolution, bfloat16"
PRODUCT_PEAK = "gpu/matrix product, bfloat16"
STUDY = "gpu/study cnn"
STUDY_EPOCHS = "gpu/study cnn, model-epochs"


def name_series(what: str, depth: int, batch_size: int) -> str:
    """For example `gpu/epoch, ResNet-18, batch 64`."""
    return f"gpu/{what}, ResNet-{depth}, batch {batch_size}"


def name_accuracy_series(accuracy: float) -> str:
    """The series of seconds to that test accuracy."""
    return f"gpu/seconds to {100 * accuracy:g} %"


def _figures_of(depth: int, batch_size: int) -> tuple[Figure, ...]:
    name = f"GPU: ResNet-{depth}, batch {batch_size}"
    limit_s = EPOCH_TARGETS_S.get((depth, batch_size))
    rate = name_series("arithmetic", depth, batch_size)
    return (
        Figure(
            name=f"{name}: epoch, validation included",
            unit="s",
            ours=name_series("epoch", depth, batch_size),
            target=Target(kind="at most", value=limit_s) if limit_s else None,
        ),
        Figure(
            name=f"{name}: first epoch, with compilation", unit="s", ours=name_series("first epoch", depth, batch_size)
        ),
        Figure(name=f"{name}: step", unit="ms", ours=name_series("step", depth, batch_size)),
        Figure(name=f"{name}: training images", unit="/s", ours=name_series("images", depth, batch_size)),
        *(
            Figure(
                name=f"{name}: share of {what}", unit="TFLOP/s", ours=rate, opponents=(peak,), ratio="ours / opponent"
            )
            for what, peak in (("the bf16 convolution peak", CONVOLUTION_PEAK), ("the bf16 product", PRODUCT_PEAK))
        ),
    )


FIGURES = (
    *(figure for depth in DEPTHS for size in BATCH_SIZES for figure in _figures_of(depth, size)),
    Figure(
        name="GPU: study cnn, 30 configurations in a cohort",
        unit="s",
        ours=STUDY,
        target=Target(kind="at most", value=STUDY_TARGET_S),
    ),
    Figure(name="GPU: study cnn, model-epochs of successive halving", unit="", ours=STUDY_EPOCHS),
    *(
        Figure(
            name=f"GPU: ResNet-18, to {100 * accuracy:g} % on the test set",
            unit="s",
            ours=name_accuracy_series(accuracy),
        )
        for accuracy in ACCURACIES
    ),
)
