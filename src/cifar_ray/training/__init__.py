"""One trial's training."""

import os

# read when torch is loaded. Its threads spin while they wait for each other: for long, and two sweeps on the same cores
# take them from each other; not at all, and small steps wait for threads to wake (docs/performance.md)
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Lightning's torchmetrics imports torchvision, which on a CPU-only torch loads after our declarations alone
import cifar_ray.torchvision_import  # noqa: F401
