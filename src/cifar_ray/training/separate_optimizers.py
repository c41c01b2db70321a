"""Steps the optimisers of a fused network's members one by one, without the overhead of torch's `step`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from cifar_ray.models.fused import FusedClassicCnn
from cifar_ray.training.learner import Learner


class SeparateOptimizers:
    """Calls the kernels of torch's fused SGD, Adam and AdamW as their `step` does, with lists made once a pass.

    `step` collects parameters and state each time and keeps a step count for each parameter; for 14 parameters of
    62,000 weights in all that takes longer than the kernel (docs/performance.md).
    """

    def __init__(self, learners: Sequence[Learner], network: FusedClassicCnn) -> None:
        self._optimizers = [learner.optimizer for learner in learners]
        self._network = network
        self._parts: list[_Part] = []

    def follow_schedules(self) -> None:
        """Do nothing: the rates are read at every step."""

    @torch.no_grad()
    def step(self) -> None:
        """Step every member, after a backward pass."""
        if not self._parts:
            # torch's own `step` initialises the state
            self._network.hand_out_gradients()
            for optimizer in self._optimizers:
                optimizer.step()
            self._parts = self._make_parts()
            return
        gradients = self._network.gradients()
        for part in self._parts:
            part.step([gradients[name][part.member] for name in part.names])

    def finish(self) -> None:
        """Leave the optimisers as if each had made the steps itself."""
        for part in self._parts:
            part.finish()

    def _make_parts(self) -> list[_Part]:
        parts = []
        for member, optimizer in enumerate(self._optimizers):
            names = {id(owners[member]): name for name, owners in self._network.owners.items() if member in owners}
            for group in optimizer.param_groups:
                states = [optimizer.state[each] for each in group["params"]]
                parts.append(
                    _Part(
                        member=member,
                        names=[names[id(each)] for each in group["params"]],
                        optimizer=optimizer,
                        group=group,
                        states=states,
                        count=states[0]["step"].clone() if "step" in states[0] else None,
                    )
                )
        return parts


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """A parameter group of a member's optimiser."""

    member: int
    names: Sequence[str]
    """Names of its parameters."""
    optimizer: Optimizer
    group: Mapping[str, Any]
    states: Sequence[Mapping[str, Any]]
    count: Tensor | None
    """Adam's step count; None for SGD."""

    def step(self, gradients: list[Tensor]) -> None:
        """Make a step with one kernel."""
        group, parameters = self.group, self.group["params"]
        if self.count is None:
            buffers = [each["momentum_buffer"] for each in self.states] if group["momentum"] else []
            torch._fused_sgd_(
                parameters,
                gradients,
                buffers,
                weight_decay=group["weight_decay"],
                momentum=group["momentum"],
                lr=group["lr"],
                dampening=group["dampening"],
                nesterov=group["nesterov"],
                maximize=False,
                is_first_step=False,
            )
            return
        self.count.add_(1)
        kernel = torch._fused_adamw_ if isinstance(self.optimizer, AdamW) else torch._fused_adam_
        kernel(
            parameters,
            gradients,
            [each["exp_avg"] for each in self.states],
            [each["exp_avg_sq"] for each in self.states],
            [],
            [self.count] * len(gradients),
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def finish(self) -> None:
        """Write the step count back to each parameter's state."""
        if self.count is not None:
            for each in self.states:
                each["step"].copy_(self.count)
