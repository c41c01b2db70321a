"""Chooses the device, precision and memory settings with which this process trains."""

from __future__ import annotations

import ctypes
from typing import Literal

import torch

Precision = Literal["32-true", "bf16-mixed"]
"""Lightning's names: float32 throughout, or bfloat16 for matrix products and convolutions with float32 weights."""

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3


def choose_device() -> torch.device:
    """The accelerator that this process sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(device: torch.device) -> Precision:
    """bfloat16 where the device supports it and is faster with it than with float32.

    Intel's vector units support it but are slower with it (docs/performance.md); AMX, which a virtual machine may
    hide, is faster.
    """
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    cpu = torch.cpu.get_capabilities()
    is_faster = cpu.get("amx_bf16") or (cpu.get("avx512_bf16") and not str(cpu.get("cpu_name")).startswith("Intel"))
    return "bf16-mixed" if is_faster else "32-true"


def name_device(device: torch.device, precision: Precision) -> str:
    """The device and precision as records name them, such as `NVIDIA H100 80GB HBM3, bf16-mixed`."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return f"{name}, {precision}"


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks for this process.

    By default it returns each activation's memory to the system and requests it anew at every step; the page faults
    take up to a third of a step on the CPU (docs/performance.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl and macOS have none
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_M_TOP_PAD, 1 << 28)
