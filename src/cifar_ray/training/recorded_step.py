"""A training step recorded as a CUDA graph: its hundred small launches then cost one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cifar_ray.errors import DeviceError

RECORDING = threading.Lock()
"""Held while a step is recorded, and by passes through networks that are not replayed beside that. torch empties its
caches before it records, and all threads' backward passes run in one of torch's own, with one cuDNN handle."""
NUM_WARM_UP_STEPS = 3
"""Before it is recorded; real ones, on the stream that will record, so that libraries have what they allocate."""

Step = Callable[..., tuple[Tensor, Tensor]]
"""From tensors, a batch's, to losses and logits, detached; changes tensors in place, and none of its shapes."""


class RecordedStep:
    """Runs a step again and again on one CUDA device, from the fourth batch on as a graph.

    The step reads no number from the device and copies none to it. `generators` are all that it draws from, beside the
    device's own. What it gives is good until the next call. Batches of another size run as they are. DeviceError
    where the step cannot be recorded, after which torch's allocator is in no state to go on.
    """

    def __init__(self, step: Step, generators: Sequence[torch.Generator], device: torch.device) -> None:
        self._step = step
        self._generators = generators
        current = torch.cuda.current_stream(device)
        # the default stream cannot record
        is_default = current == torch.cuda.default_stream(device)
        self._stream = torch.cuda.Stream(device) if is_default else current  # type: ignore[no-untyped-call]  # torch's own
        self._num_warm_up = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        """A step on (B, 3, S, S) images, (B,) labels, and what else it takes."""
        if self._num_warm_up < NUM_WARM_UP_STEPS:
            self._num_warm_up += 1
            return self._warm_up(*batch)
        if self._graph is None:
            self._graph = self._record(*batch)
        if batch[0].shape != self._batch[0].shape:
            with RECORDING:
                return self._step(*batch)
        torch._foreach_copy_(self._batch, batch)
        self._graph.replay()
        return self._outcome

    def release(self) -> None:
        """Give back all that it holds, once the device is done with it; it cannot be called again."""
        torch.cuda.current_stream().synchronize()
        with RECORDING:
            self.__dict__.clear()

    def _warm_up(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        self._stream.wait_stream(torch.cuda.current_stream())
        with RECORDING:
            try:
                with torch.cuda.stream(self._stream):
                    return self._step(*batch)
            finally:
                # the batch must outlive its use, the outcome the next step's; and no step that failed is still at work
                self._stream.synchronize()

    def _record(self, *batch: Tensor) -> torch.cuda.CUDAGraph:
        """Nothing is computed by it."""
        self._batch = [torch.empty_like(each) for each in batch]
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        try:
            # threads that upload checkpoints may call CUDA meanwhile
            with RECORDING, torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._outcome = self._step(*self._batch)
        except RuntimeError as error:
            is_full = isinstance(error, torch.OutOfMemoryError)
            raise DeviceError(
                f"a training step could not be recorded as a CUDA graph: {error}",
                "fewer trials on a device leave each more of its memory"
                if is_full
                else "CIFAR_RAY_COMPILE=off, on the nodes, trains without",
            ) from error
        return graph
