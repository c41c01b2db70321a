"""Trains learners of one batch size as one network, for one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from cifar_ray.models.fused import HIDDEN, FusedClassicCnn
from cifar_ray.training.common_optimizer import CommonOptimizer
from cifar_ray.training.cuda_graph_step import RECORDING, CudaGraphStep
from cifar_ray.training.device import Precision
from cifar_ray.training.learner import Learner
from cifar_ray.training.separate_optimizers import SeparateOptimizers
from cifar_ray.training.tally import Tally


class FusedGroup:
    """K learners for one pass over the data. Every batch is a step of each, with its own optimiser.

    Learners must be sorted by whether they augment; each kind reads its own version of a batch.

    On an accelerator the optimisers step as one, which saves kernel launches; on the CPU stepping each by itself is
    faster (docs/performance.md). `steps_as_one` overrides this. Each learner keeps its own average of the weights.
    """

    def __init__(
        self,
        learners: Sequence[Learner],
        device: torch.device,
        precision: Precision,
        *,
        steps_as_one: bool | None = None,
        records: bool = False,
    ) -> None:
        """`records`: whether the step is recorded as a CUDA graph."""
        self.learners = learners
        self._device = device
        self.precision = precision
        num_readers = Counter(learner.trial.config.augmentation for learner in learners)
        self._network = FusedClassicCnn([learner.network for learner in learners], list(num_readers.values()))
        is_one = device.type != "cpu" if steps_as_one is None else steps_as_one
        self._optimizer: CommonOptimizer | SeparateOptimizers
        self._optimizer = (CommonOptimizer if is_one else SeparateOptimizers)(learners, self._network)
        self._averages = [(learner, learner.average) for learner in learners if learner.average is not None]
        for learner, average in self._averages:
            average.follow(learner.network)
        self._num_steps = 0
        self._generators = [torch.Generator(device).manual_seed(learner.dropout_seed) for learner in learners]
        self._kept = [1 - learner.trial.config.dropout for learner in learners]
        self._scale = torch.tensor(self._kept, device=device).view(-1, 1, 1)
        self._recorded = CudaGraphStep(self._plain_step, self._generators, device) if records else None
        self.train_tally = Tally(len(learners), device)
        self.validation_tally = Tally(len(learners), device)
        self.learning_rates = [0.0] * len(learners)

    def train(self, images: Tensor, labels: Tensor) -> None:
        """Step every learner on one batch: (V B, 3, 32, 32) images, V versions one after another, and (B,) labels."""
        self._optimizer.follow_schedules()
        # the method is not stored on `self`: that cycle would keep the group alive until Python's cyclic collector runs
        losses, logits = (self._recorded or self._plain_step)(images, labels)
        self._num_steps += 1
        for learner, average in self._averages:
            average.update(learner.num_steps + self._num_steps)
        self.learning_rates = [float(learner.optimizer.param_groups[0]["lr"]) for learner in self.learners]
        for learner in self.learners:
            if learner.scheduler is not None:
                learner.scheduler.step()
        self.train_tally.add(losses, logits, labels)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """For the block, swap in the averaged weights of the learners that keep an average."""
        self._swap_averages()
        try:
            yield
        finally:
            self._swap_averages()

    @torch.inference_mode()
    def validate(self, images: Tensor, labels: Tensor) -> None:
        """Validate on a batch and add it to the tally."""
        # another stream's group may be recording its step
        with nullcontext() if self._recorded is None else RECORDING:
            losses, logits = self._losses(images, labels, None)
        self.validation_tally.add(losses, logits, labels)

    def end_pass(self) -> None:
        """Leave the learners as if each had made the steps by itself."""
        self._network.count_batches(self._num_steps)
        self._optimizer.finish()
        for learner in self.learners:
            learner.optimizer.zero_grad(set_to_none=True)
        self.release()

    def release(self) -> None:
        """Free the memory of the recorded step, after which the group cannot train."""
        if self._recorded is not None:
            self._recorded.release()

    def _swap_averages(self) -> None:
        for _, average in self._averages:
            average.swap()

    def _plain_step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Make a step; losses (K,) and logits (K, B, 10) are those before it."""
        self._network.forget_gradients()
        losses, logits = self._losses(images, labels, self._draw_noise(len(labels)))
        losses.sum().backward()  # type: ignore[no-untyped-call]  # torch's own
        self._optimizer.step()
        return losses.detach(), logits.detach()

    def _losses(self, images: Tensor, labels: Tensor, noise: list[Tensor] | None) -> tuple[Tensor, Tensor]:
        """Mean cross-entropies (K,) and logits (K, B, 10)."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            logits = self._network(images, noise)
            num_networks, batch_size, _ = logits.shape
            losses = functional.cross_entropy(logits.flatten(0, 1), labels.repeat(num_networks), reduction="none")
        return losses.view(num_networks, batch_size).mean(dim=1), logits

    def _draw_noise(self, batch_size: int) -> list[Tensor]:
        """Drop-out's factors, from a generator for each learner: on the CPU, those it would draw if trained alone."""
        noise = [torch.ones(len(self.learners), batch_size, width, device=self._device) for width in HIDDEN]
        for index, (kept, generator) in enumerate(zip(self._kept, self._generators, strict=True)):
            if kept < 1:
                for factors in noise:
                    factors[index].bernoulli_(kept, generator=generator)
        return [factors.div_(self._scale) for factors in noise]
