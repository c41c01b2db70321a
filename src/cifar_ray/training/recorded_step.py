"""A training step recorded as a CUDA graph: its hundred small launches then cost one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

NUM_WARM_UP_STEPS = 3
"""Before it is recorded; real ones, on the stream that will record, so that libraries have what they allocate."""

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From images and labels to losses and logits, detached; changes tensors in place, and none of its shapes."""


class RecordedStep:
    """Runs a step again and again on one CUDA device, from the fourth batch on as a graph.

    The step reads no number from the device and copies none to it. `generators` are all that it draws from. What it
    gives is good until the next call. Batches of another size run as they are, and so do all if recording fails.
    """

    def __init__(self, step: Step, generators: Sequence[torch.Generator], device: torch.device) -> None:
        self._step = step
        self._generators = generators
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own
        self._num_warm_up = 0
        self._has_failed = False
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """A step on (B, 3, 32, 32) images and (B,) labels."""
        if self._num_warm_up < NUM_WARM_UP_STEPS:
            self._num_warm_up += 1
            return self._warm_up(images, labels)
        if self._graph is None and not self._has_failed:
            self._record(images, labels)
        if self._graph is None or labels.shape != self._labels.shape:
            return self._step(images, labels)
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._graph.replay()
        return self._outcome

    def _warm_up(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            outcome = self._step(images, labels)
        # images and labels must outlive their use, and so must the outcome the next step's
        torch.cuda.synchronize()
        return outcome

    def _record(self, images: Tensor, labels: Tensor) -> None:
        """Nothing is computed by it."""
        self._images, self._labels = torch.empty_like(images), torch.empty_like(labels)
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        try:
            # threads that upload checkpoints may call CUDA meanwhile
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._outcome = self._step(self._images, self._labels)
        except RuntimeError as error:
            logger.warning("training goes on without a CUDA graph, which could not be recorded: %s", error)
            self._has_failed = True
        else:
            self._graph = graph
