"""A training step recorded as a CUDA graph: its hundred small launches then cost one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

_RECORDING = threading.Lock()
"""torch empties its caches before it records, which it must not while another thread does."""
NUM_WARM_UP_STEPS = 3
"""Before it is recorded; real ones, on the stream that will record, so that libraries have what they allocate."""

Step = Callable[..., tuple[Tensor, Tensor]]
"""From tensors, a batch's, to losses and logits, detached; changes tensors in place, and none of its shapes."""


class RecordedStep:
    """Runs a step again and again on one CUDA device, from the fourth batch on as a graph.

    The step reads no number from the device and copies none to it. `generators` are all that it draws from. What it
    gives is good until the next call. Batches of another size run as they are, and so do all if recording fails.
    """

    def __init__(self, step: Step, generators: Sequence[torch.Generator], device: torch.device) -> None:
        self._step = step
        self._generators = generators
        current = torch.cuda.current_stream(device)
        # the default stream cannot record
        is_default = current == torch.cuda.default_stream(device)
        self._stream = torch.cuda.Stream(device) if is_default else current  # type: ignore[no-untyped-call]  # torch's own
        self._num_warm_up = 0
        self._has_failed = False
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        """A step on (B, 3, 32, 32) images, (B,) labels, and what else it takes."""
        if self._num_warm_up < NUM_WARM_UP_STEPS:
            self._num_warm_up += 1
            return self._warm_up(*batch)
        if self._graph is None and not self._has_failed:
            self._record(*batch)
        if self._graph is None or batch[0].shape != self._batch[0].shape:
            return self._step(*batch)
        torch._foreach_copy_(self._batch, batch)
        self._graph.replay()
        return self._outcome

    def _warm_up(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            outcome = self._step(*batch)
        # the batch must outlive its use, and so must the outcome the next step's
        self._stream.synchronize()
        return outcome

    def _record(self, *batch: Tensor) -> None:
        """Nothing is computed by it."""
        self._batch = [torch.empty_like(each) for each in batch]
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        try:
            # threads that upload checkpoints may call CUDA meanwhile
            with _RECORDING, torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._outcome = self._step(*self._batch)
        except RuntimeError as error:
            logger.warning("training goes on without a CUDA graph, which could not be recorded: %s", error)
            self._has_failed = True
        else:
            self._graph = graph
