"""A trial's forward and backward pass as compiled code, made once for all trials of one shape in this process."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from cifar_ray.models.dropout import set_dropout
from cifar_ray.settings import Settings
from cifar_ray.studies import TrialConfig
from cifar_ray.training.device import Precision
from cifar_ray.training.objective import Example, differentiate, evaluate

logger = logging.getLogger(__name__)

MAX_SHAPES = 64
"""Of the trials that one process trains; torch's own limit is 8."""

CODE_FOLDER = "TORCHINDUCTOR_CACHE_DIR"
NUM_TRIED = 3
"""Batches until all that can fail has been done: the first compiles, the second records CUDA graphs."""


@dataclass(frozen=True, kw_only=True)
class StepShape:
    """What trials that share compiled code have in common. All else that they differ in is data to it."""

    model: str
    depth: int
    width: int
    batch_norm: bool
    stem: str
    batch_size: int
    has_mixup: bool
    device: torch.device
    precision: Precision

    @classmethod
    def of(cls, config: TrialConfig, device: torch.device, precision: Precision) -> StepShape:
        """Of a trial on that device."""
        return cls(
            model=config.model,
            depth=config.depth,
            width=config.width,
            batch_norm=config.batch_norm,
            stem=config.stem,
            batch_size=config.batch_size,
            has_mixup=config.mixup > 0,
            device=device,
            precision=precision,
        )


class CompiledStep:
    """Compiled code with the network that it was made for, which the trials of a shape have one after another.

    The network stays where it is from trial to trial: a CUDA graph holds the addresses of its weights. Smaller
    batches, such as an epoch's last, run as plain code. So does everything once compilation has failed.
    """

    def __init__(self, shape: StepShape) -> None:
        self._shape = shape
        self._network: nn.Module | None = None
        self._num_tried = 0
        self._has_failed = False
        self._lock = threading.Lock()
        self._has_graphs = shape.device.type == "cuda"
        # the optimiser stays outside: in torch's fused form it is a launch or two already (docs/decisions/0009)
        self._evaluate = torch.compile(
            evaluate,
            fullgraph=True,
            dynamic=False,
            # no more processes than the trial has cores
            options={"triton.cudagraphs": self._has_graphs, "compile_threads": torch.get_num_threads()},
        )

    @contextmanager
    def reserved(self) -> Iterator[CompiledStep | None]:
        """For one trial: None where another has it."""
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            yield self
        finally:
            if self._network is not None:
                self._network.zero_grad(set_to_none=True)
            self._lock.release()

    def place(self, network: nn.Module, config: TrialConfig) -> nn.Module:
        """The network, with that one's weights and that drop-out."""
        if self._network is None:
            self._network = network.to(self._shape.device)
        else:
            self._network.load_state_dict(network.state_dict())
            set_dropout(self._network, config.dropout)
        return self._network.train()

    def differentiate(self, network: nn.Module, example: Example) -> tuple[Tensor, Tensor]:
        """Add a batch's gradients to those of the network; its loss and logits, good until the next call."""
        if self._has_failed or len(example.labels) != self._shape.batch_size:
            return differentiate(network, example)
        if self._num_tried < NUM_TRIED:
            return self._try(network, example)
        return self._differentiate(network, example)

    def _try(self, network: nn.Module, example: Example) -> tuple[Tensor, Tensor]:
        """One of the first batches; as plain code where it fails."""
        statistics = [each.clone() for each in network.buffers()]
        try:
            outcome = self._differentiate(network, example)
        except Exception as error:  # noqa: BLE001 - compilers raise anything; the step's own fault, plain code raises again
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            logger.warning("training goes on without compilation, which failed: %s", reason)
            self._has_failed = True
            network.zero_grad(set_to_none=True)
            for live, kept in zip(network.buffers(), statistics, strict=True):
                live.copy_(kept)
            return differentiate(network, example)
        self._num_tried += 1
        return outcome

    def _differentiate(self, network: nn.Module, example: Example) -> tuple[Tensor, Tensor]:
        if self._has_graphs:
            # what the last step gave lies in memory that this one writes to
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # torch's own
        share, label_smoothing = (
            torch.full((), value, device=self._shape.device) for value in (example.share, example.label_smoothing)
        )
        loss, logits = self._evaluate(
            network, example.images, example.labels, example.partner_labels, share, label_smoothing
        )
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        return loss, logits


@contextmanager
def compiled_step(
    config: TrialConfig, device: torch.device, precision: Precision, settings: Settings
) -> Iterator[CompiledStep | None]:
    """What trials of that shape run on this device in this process; None where they are not to be compiled.

    By default CUDA devices compile and the CPU does not, for which it is a loss with small networks. What was compiled
    is kept below the cache folder, for processes that come later.
    """
    is_on = settings.compiles if settings.compiles is not None else device.type == "cuda"
    if not is_on:
        yield None
        return
    _keep_code_in(settings.cache / f"compiled-{os.getuid()}")
    torch._dynamo.config.recompile_limit = max(MAX_SHAPES, torch._dynamo.config.recompile_limit)
    with _step_of(StepShape.of(config, device, precision)).reserved() as step:
        yield step


def _keep_code_in(folder: Path) -> None:
    """Have torch keep there what it compiles, unless the environment names another folder.

    What lies there is run, so that each user has one of their own.
    """
    # with this comes the compiler, which takes a second
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # noqa: PLC0415

    # torch writes its own default into the variable
    if os.environ.get(CODE_FOLDER, default_cache_dir()) == default_cache_dir():
        os.environ[CODE_FOLDER] = str(folder)


_step_of = cache(CompiledStep)
