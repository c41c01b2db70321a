"""What the package's speed is measured with."""

# Lightning's torchmetrics imports torchvision, which on a CPU-only torch loads after our declarations alone
import cifar_ray.torchvision_import  # noqa: F401
