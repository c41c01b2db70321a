"""Imports torchvision where its compiled operators are absent.

torchvision's wheel on PyPI is built against CUDA. Beside a CPU-only torch its extension does not load, and
`import torchvision` fails with "operator torchvision::nms does not exist". Declaring the missing operators
lets the import through; nothing here ever calls them. Every use of torchvision goes through this module.
"""

from __future__ import annotations

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# tried first without declaring them: a torchvision whose extension does load (a CPU, ROCm or macOS build beside its
# own torch) declares the operators itself, and a second declaration of one aborts the process
try:
    import torchvision
except RuntimeError:
    if torch.version.cuda is not None:
        raise
    for _name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{_name}", _SIGNATURE)
    import torchvision

__all__ = ["torchvision"]
