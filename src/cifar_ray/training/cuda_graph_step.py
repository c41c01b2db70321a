"""Records a training step as a CUDA graph, so that its hundred small kernel launches cost as much as one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cifar_ray.errors import DeviceError

RECORDING = threading.Lock()
"""Held while a step is recorded, and by each pass through a network that is not a replay, so that none runs meanwhile:
torch empties its caches before it records, and the backward passes of all threads share a thread and a cuDNN handle."""
NUM_WARM_UP_STEPS = 3
"""Real steps before recording, on the stream that will record, so that libraries have made their allocations."""

Step = Callable[..., tuple[Tensor, Tensor]]
"""Takes a batch's tensors, gives detached losses and logits; updates tensors in place and never changes a shape."""


class CudaGraphStep:
    """Runs a step repeatedly on one CUDA device, from the fourth batch on as a graph.

    The step must neither read numbers from the device nor copy any to it, and may draw random numbers only from
    `generators` and the device's own generator. Its results are valid until the next call. Batches of another size run
    without the graph. DeviceError where the step cannot be recorded, which leaves torch's allocator unusable.
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
        """Make a step on (B, 3, S, S) images, (B,) labels and the step's other tensors."""
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
        """Free everything it holds, once the device has finished with it; it cannot be called again."""
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
                # the batch must outlive its use, the outcome the next step; and a failed step must not still be running
                self._stream.synchronize()

    def _record(self, *batch: Tensor) -> torch.cuda.CUDAGraph:
        """Record the step, which computes nothing yet."""
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
