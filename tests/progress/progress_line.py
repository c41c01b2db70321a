"""A progress line for tests to vary."""

from cifar_ray.progress.sweep_progress import SweepProgress

PROGRESS = SweepProgress(
    elapsed_s=0.0,
    trials=8,
    running=0,
    stopped=0,
    completed=0,
    diverged=0,
    failed=0,
    epochs=0,
    best_validation_accuracy=0.5,
    best_trial="t0000",
    dataset="x",
)
