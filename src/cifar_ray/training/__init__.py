"""Trains one trial by itself, or a cohort's trials together."""

import os

# read when torch is imported. Its threads spin while they wait for each other: if for long, two sweeps on the same
# cores slow each other down; if not at all, small steps wait for threads to wake up (docs/performance.md)
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Lightning's torchmetrics imports torchvision, which with a CPU-only torch can be imported only after our declarations
import cifar_ray.torchvision_import  # noqa: F401
