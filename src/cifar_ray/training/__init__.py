"""One trial's training."""

import os

# read when torch is loaded. Its threads would otherwise spin while they wait for each other: where two sweeps train on
# the same cores, a pass took thirty times as long (docs/performance.md)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Lightning's torchmetrics imports torchvision, which on a CPU-only torch loads after our declarations alone
import cifar_ray.torchvision_import  # noqa: F401
