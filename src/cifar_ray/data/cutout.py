"""Cutout: a blank square in each training image (DeVries and Taylor, arXiv 1708.04552)."""

from __future__ import annotations

import torch
from torch import Tensor


def cut_out(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """(n, 3, H, W) normalised images with a square of that side set to the mean; `centres` are (n, 2), row and column.

    The part of a square that lies beyond the border is cut off.
    """
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    top, left = (centres - side // 2).unbind(1)
    in_rows = (rows >= top[:, None]) & (rows < top[:, None] + side)
    in_columns = (columns >= left[:, None]) & (columns < left[:, None] + side)
    # a clone keeps the memory format, which `masked_fill` does not
    return images.clone().masked_fill_((in_rows[:, :, None] & in_columns[:, None, :])[:, None], 0.0)
