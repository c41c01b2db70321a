"""The device that this process trains on, and how to get the most out of it."""

from __future__ import annotations

import ctypes
import sys
from typing import Literal

import torch

Precision = Literal["32-true", "bf16-mixed"]
"""In Lightning's words: float32 throughout, or bfloat16 for products and convolutions with float32 weights."""

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3


def choose_device() -> torch.device:
    """The accelerator that this process sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(device: torch.device) -> Precision:
    """bfloat16 where the device computes in it, and faster than in float32.

    Intel's vector units have the instruction, and are slower by it (docs/performance.md); AMX, which a virtual machine
    may not show, is faster.
    """
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    cpu = torch.cpu.get_capabilities()
    is_faster = cpu.get("amx_bf16") or (cpu.get("avx512_bf16") and not str(cpu.get("cpu_name")).startswith("Intel"))
    return "bf16-mixed" if is_faster else "32-true"


def name_device(device: torch.device, precision: Precision) -> str:
    """For records, such as `NVIDIA H100 80GB HBM3, bf16-mixed`."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return f"{name}, {precision}"


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks for this process.

    By default it gives each activation back to the system and asks for it anew at every step; the page faults
    take up to a third of a step on the CPU (docs/performance.md).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_M_TOP_PAD, 1 << 28)
