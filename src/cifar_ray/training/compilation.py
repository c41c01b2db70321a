"""A trial's forward pass and loss as compiled code, made once for all trials of one shape in this process.

A shape is the model, its layers, batch and image size, mixup or none, the precision and the device. All else that
trials differ in is data to the code.
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
"""Of the trials that one process trains; torch's own limit is 8."""
MAX_COMPILERS = 8
"""Processes that compile at once where an accelerator waits for them."""
CODE_FOLDER = "TORCHINDUCTOR_CACHE_DIR"

Evaluate = Callable[..., tuple[Tensor, Tensor]]
"""`evaluate`, compiled or not."""


def compiled_evaluate(device: torch.device, settings: Settings) -> Evaluate | None:
    """`evaluate` and its backward pass as trials run them on this device; None where they are not to be compiled.

    By default CUDA devices compile and the CPU does not, for which it is a loss with small networks. What was compiled
    is kept below the cache folder, for processes that come later.
    """
    is_on = settings.compiles if settings.compiles is not None else device.type == "cuda"
    if not is_on:
        return None
    _keep_code_in(settings.cache / f"compiled-{os.getuid()}")
    torch._dynamo.config.recompile_limit = max(MAX_SHAPES, torch._dynamo.config.recompile_limit)
    return _compiled(device.type)


def _keep_code_in(folder: Path) -> None:
    """Have torch keep there what it compiles, unless the environment names another folder.

    What lies there is run, so that each user has one of their own.
    """
    _name_user()
    # with this comes the compiler, which takes a second
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # noqa: PLC0415

    # torch writes its own default into the variable
    if os.environ.get(CODE_FOLDER, default_cache_dir()) == default_cache_dir():
        os.environ[CODE_FOLDER] = str(folder)


def _name_user() -> None:
    """Give the user a name where the system has none, as in many containers: torch up to 2.12 fails for want of one."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"uid{os.getuid()}"


@cache
def _compiled(device_type: str) -> Evaluate:
    # an accelerator waits for all of a node's cores, a trial on the CPU has its own alone
    most = min(MAX_COMPILERS, len(os.sched_getaffinity(0)))
    num_threads = torch.get_num_threads() if device_type == "cpu" else most
    return torch.compile(evaluate, fullgraph=True, dynamic=False, options={"compile_threads": num_threads})
