"""What a trial that trains alone does with a batch before its optimiser steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from cifar_ray.settings import Settings
from cifar_ray.studies import TrialConfig
from cifar_ray.training.clipping import clip_gradients, clipped_parameters
from cifar_ray.training.compilation import compiled_code
from cifar_ray.training.objective import Example, evaluate, evaluate_example
from cifar_ray.training.recorded_step import RecordedStep


class TrialStep:
    """Gives a network the gradients of one batch after another, clipped where the settings ask for it.

    The code is compiled where `compiled_code` has it so, and on a CUDA device all of it is one recorded graph. Smaller
    batches, such as an epoch's last, run as plain code, as does everything once compilation has failed.
    """

    def __init__(self, network: nn.Module, config: TrialConfig, device: torch.device, settings: Settings) -> None:
        self._network = network
        self._batch_size = config.batch_size
        self._device = device
        self._label_smoothing = torch.full((), config.label_smoothing, device=device)
        self._most = config.gradient_clipping
        self._clipped = clipped_parameters(network) if config.gradient_clipping else []
        self._code = compiled_code(device, settings)
        self._is_tried = False
        self._step: Callable[..., tuple[Tensor, Tensor]] = self._run_compiled
        if device.type == "cuda":
            # all that it draws, it draws from the device's own generator, which every graph knows
            self._step = RecordedStep(self._run_compiled, [], device)

    def __call__(self, example: Example) -> tuple[Tensor, Tensor]:
        """Its loss and its logits (B, 10), detached, good until the next call."""
        if self._code is None or self._code.has_failed:
            return self._run_plain(example)
        inputs = [example.images, example.labels]
        if example.partner_labels is not None:
            inputs += [example.partner_labels, torch.full((), example.share, device=self._device)]
        if len(example.labels) != self._batch_size:
            # in place: a graph writes the gradients where they are
            self._network.zero_grad(set_to_none=False)
            return self._differentiate(evaluate, *inputs)
        if not self._is_tried:
            return self._try(example, inputs)
        return self._step(*inputs)

    def _try(self, example: Example, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The first batch; as plain code where that fails."""
        statistics = [each.clone() for each in self._network.buffers()]
        try:
            outcome = self._step(*inputs)
        except Exception as error:  # noqa: BLE001 - compilers raise anything; the step's own fault, plain code raises again
            assert self._code is not None
            self._code.fail(error)
            for live, kept in zip(self._network.buffers(), statistics, strict=True):
                live.copy_(kept)
            return self._run_plain(example)
        self._is_tried = True
        return outcome

    def _run_plain(self, example: Example) -> tuple[Tensor, Tensor]:
        self._network.zero_grad(set_to_none=True)
        loss, logits = evaluate_example(self._network, example)
        return self._go_back(loss), logits

    def _run_compiled(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        assert self._code is not None
        self._network.zero_grad(set_to_none=True)
        return self._differentiate(self._code.evaluate, *inputs)

    def _differentiate(
        self,
        run: Callable[..., tuple[Tensor, Tensor]],
        images: Tensor,
        labels: Tensor,
        partner_labels: Tensor | None = None,
        share: float | Tensor = 1.0,
    ) -> tuple[Tensor, Tensor]:
        loss, logits = run(self._network, images, labels, partner_labels, share, self._label_smoothing)
        return self._go_back(loss), logits

    def _go_back(self, loss: Tensor) -> Tensor:
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        clip_gradients(self._clipped, self._most)
        return loss.detach()
