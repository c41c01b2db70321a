"""Compiles a trial's forward pass and loss, once for all trials of one shape in this process.

A shape is the model, its layers, batch and image size, mixup or none, the precision and the device. Everything else
in which trials differ is input data to the compiled code.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from cifar_ray.settings import Settings
from cifar_ray.training.objective import evaluate

MAX_SHAPES = 64
"""Shapes of the trials that one process trains; torch's own limit is 8."""
MAX_COMPILERS = 8
"""Processes that compile at once for an accelerator."""
CODE_FOLDER = "TORCHINDUCTOR_CACHE_DIR"

Evaluate = Callable[..., tuple[Tensor, Tensor]]
"""The type of `evaluate`, compiled or not."""


def compiled_evaluate(device: torch.device, settings: Settings) -> Evaluate | None:
    """`evaluate` and its backward pass, compiled for this device; None where they are not to be compiled.

    By default code is compiled for CUDA devices but not for the CPU, where it is slower with small networks. Compiled
    code is kept below the cache folder for later processes.
    """
    is_on = settings.compiles if settings.compiles is not None else device.type == "cuda"
    if not is_on:
        return None
    _keep_code_in(settings.cache / f"compiled-{os.getuid()}")
    torch._dynamo.config.recompile_limit = max(MAX_SHAPES, torch._dynamo.config.recompile_limit)
    return _compiled(device.type)


def _keep_code_in(folder: Path) -> None:
    """Have torch keep compiled code in `folder`, unless the environment names another folder.

    Code found there is run, so each user has a folder of their own.
    """
    _name_user()
    # this imports the compiler, which takes a second
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # noqa: PLC0415

    # torch itself may have written its default into the variable
    if os.environ.get(CODE_FOLDER, default_cache_dir()) == default_cache_dir():
        os.environ[CODE_FOLDER] = str(folder)


def _name_user() -> None:
    """Name the user where the system does not, as in many containers: torch up to 2.12 fails without a name."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"uid{os.getuid()}"


@cache
def _compiled(device_type: str) -> Evaluate:
    # for an accelerator all cores of the node may compile; a trial on the CPU has only its own
    most = min(MAX_COMPILERS, len(os.sched_getaffinity(0)))
    num_threads = torch.get_num_threads() if device_type == "cpu" else most
    return torch.compile(evaluate, fullgraph=True, dynamic=False, options={"compile_threads": num_threads})
