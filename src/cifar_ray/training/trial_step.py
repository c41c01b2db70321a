"""Computes the gradients of a batch for a trial that trains alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cifar_ray.errors import first_line
from cifar_ray.settings import Settings
from cifar_ray.studies import TrialConfig
from cifar_ray.training.clipping import clip_gradients, clipped_parameters
from cifar_ray.training.compilation import Evaluate, compiled_evaluate
from cifar_ray.training.cuda_graph_step import CudaGraphStep, Step
from cifar_ray.training.objective import Example, evaluate

logger = logging.getLogger(__name__)


class TrialStep:
    """Sets a network's gradients for one batch after another, clipped where the settings ask for it.

    The code is compiled where `compiled_evaluate` says so. On a CUDA device it is also recorded as one graph for each
    image size, which writes the gradients to the same tensors every time: optimisers may change them only in place.
    Smaller batches, such as an epoch's last, run as plain code, as does everything once compilation has failed.
    """

    def __init__(self, network: nn.Module, config: TrialConfig, device: torch.device, settings: Settings) -> None:
        self._network = network
        # kept, since collecting those of a ResNet-18 takes 57 us, at every step
        self._parameters = list(network.parameters())
        self._batch_size = config.batch_size
        self._device = device
        self._label_smoothing = torch.full((), config.label_smoothing, device=device)
        self._clipping = config.gradient_clipping
        self._clipped = clipped_parameters(network) if config.gradient_clipping else []
        self._evaluate = compiled_evaluate(device, settings)
        self._is_tried = False
        self._size = 0
        self._recorded: CudaGraphStep | None = None
        self._step: Step = self._run_compiled

    def __call__(self, example: Example) -> tuple[Tensor, Tensor]:
        """Loss and logits (B, 10) of a batch, detached, valid until the next call."""
        if self._evaluate is None:
            return self._run_plain(example)
        if example.images.shape[-1] != self._size:
            self._take_size(example.images.shape[-1])
        inputs = [example.images, example.labels]
        if example.partner_labels is not None:
            inputs += [example.partner_labels, torch.full((), example.share, device=self._device)]
        if len(example.labels) != self._batch_size:
            # in place, since the graph writes to these tensors
            for each in self._parameters:
                if each.grad is not None:
                    each.grad.zero_()
            return self._differentiate(evaluate, *inputs)
        if not self._is_tried:
            return self._try(example, inputs)
        return self._step(*inputs)

    def release(self) -> None:
        """Free the graph's memory, which would otherwise wait for Python's cyclic collector."""
        self._forget_gradients()
        if self._recorded is not None:
            self._recorded.release()

    def _take_size(self, size: int) -> None:
        """Prepare for images of another size, which need code and a graph of their own."""
        self.release()
        self._size, self._is_tried = size, False
        if self._device.type == "cuda":
            # it draws random numbers only from the device's own generator, which every graph handles
            self._step = self._recorded = CudaGraphStep(self._run_compiled, [], self._device)

    def _try(self, example: Example, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Run the first batch of a size; falls back to plain code if compilation fails."""
        statistics = [each.clone() for each in self._network.buffers()]
        try:
            outcome = self._step(*inputs)
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            raise
        except Exception as error:  # noqa: BLE001 - compilers raise anything; plain code repeats the step's own errors
            logger.warning("training goes on without compilation, which failed: %s", first_line(error))
            self._evaluate = None
            for live, kept in zip(self._network.buffers(), statistics, strict=True):
                live.copy_(kept)
            return self._run_plain(example)
        self._is_tried = True
        return outcome

    def _run_plain(self, example: Example) -> tuple[Tensor, Tensor]:
        self._forget_gradients()
        loss, logits = evaluate(self._network, **vars(example))
        return self._backward(loss), logits

    def _run_compiled(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        assert self._evaluate is not None
        self._forget_gradients()
        return self._differentiate(self._evaluate, *inputs)

    def _forget_gradients(self) -> None:
        for each in self._parameters:
            each.grad = None

    def _differentiate(
        self,
        run: Evaluate,
        images: Tensor,
        labels: Tensor,
        partner_labels: Tensor | None = None,
        share: float | Tensor = 1.0,
    ) -> tuple[Tensor, Tensor]:
        loss, logits = run(self._network, images, labels, partner_labels, share, self._label_smoothing)
        return self._backward(loss), logits

    def _backward(self, loss: Tensor) -> Tensor:
        """Compute and clip the gradients; returns the detached loss."""
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        clip_gradients(self._clipped, self._clipping)
        return loss.detach()
