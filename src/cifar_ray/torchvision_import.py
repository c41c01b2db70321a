"""Imports torchvision where its compiled operators are absent.

torchvision's wheel on PyPI is built against CUDA. Beside a CPU-only torch its extension does not load, and
`import torchvision` fails with "operator torchvision::nms does not exist". Declaring the missing operators
first lets the import through; nothing here ever calls them. Every use of torchvision goes through this module.
"""

from __future__ import annotations

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

if torch.version.cuda is None:
    for _name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, _name):
            torch.library.define(f"torchvision::{_name}", _SIGNATURE)

import torchvision  # noqa: E402  # after the declarations, or it does not load

__all__ = ["torchvision"]
