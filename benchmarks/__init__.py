"""Benchmarks of the package against the public tutorials."""

# Lightning's torchmetrics imports torchvision, which on a CPU-only torch loads after our declarations alone
import cifar_ray.torchvision_import  # noqa: F401
