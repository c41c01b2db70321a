"""Steps the optimisers of a fused network's members as one, in as many kernel launches as a single member needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from cifar_ray.models.fused import FusedClassicCnn
from cifar_ray.training.learner import Learner

_SCHEDULED = ("rate", "keep", "take")
_FIXED = ("penalty", "decay", "keep_square", "take_square", "is_nesterov", "epsilon", "step")
"""Coefficients of `CommonOptimizer.step`: `keep` is SGD's momentum or Adam's beta1, `keep_square` Adam's beta2."""


class CommonOptimizer:
    """SGD, Adam and AdamW as one formula, whose coefficients differ by member and parameter group.

    With gradient g (to which SGD and Adam add the L2 penalty), first moment m and second moment v of a weight w:

        m <- keep m + take g
        v <- keep_square v + take_square g^2
        w <- (1 - decay) w - rate (m, or g + keep m) / (root of v, or 1)

    where Adam corrects m and v for their start at zero, and SGD has neither v nor a correction. Like the weights, m
    and v become views of common tensors; they stay in the state of each learner's own optimiser, which can continue
    from there by itself.
    """

    def __init__(self, learners: Sequence[Learner], network: FusedClassicCnn) -> None:
        self._optimizers = [learner.optimizer for learner in learners]
        self._network = network
        self._weights = network.flatten()
        self._groups = [(optimizer, group) for optimizer in self._optimizers for group in optimizer.param_groups]
        self._table = {
            **dict(zip(_SCHEDULED, self._read(_scheduled), strict=True)),
            **dict(zip(_FIXED, self._read(_fixed), strict=True)),
        }
        self._group_of_weight = self._number_groups().to(self._weights.device)
        self._has_schedule = any(learner.scheduler is not None for learner in learners)
        self._first, self._second = (torch.zeros_like(self._weights) for _ in range(2))
        self._take_over_state()
        for optimizer in self._optimizers:
            # set by an optimiser's own `step`; without it, schedulers warn that they were stepped first
            optimizer._opt_called = True  # type: ignore[attr-defined]

    def follow_schedules(self) -> None:
        """Read what the schedules have changed: rates and, with `one_cycle`, momenta. Does not wait for the device."""
        if self._has_schedule:
            for name, values in zip(_SCHEDULED, self._read(_scheduled), strict=True):
                self._table[name].copy_(values)

    @torch.no_grad()
    def step(self) -> None:
        """Step every member, after a backward pass. Neither waits for the device nor copies to it."""
        table = self._table
        table["step"] += 1
        # SGD corrects neither moment: its `take` is 1, its `take_square` 0
        of_first = torch.where(table["take"] == 1, 1.0, 1 - table["keep"] ** table["step"])
        of_second = (table["take_square"] > 0) / (1 - table["keep_square"] ** table["step"]).sqrt()
        rows = table | {
            "decay": table["rate"] * table["decay"],
            "rate": table["rate"] / of_first,
            "of_second": of_second,
        }
        columns = torch.stack(list(rows.values())).to(self._weights.dtype)[:, self._group_of_weight]
        self._update(self._network.gradient(), dict(zip(rows, columns, strict=True)))

    def _update(self, gradient: Tensor, of: Mapping[str, Tensor]) -> None:
        """Apply the formula; all tensors are (N,), with a coefficient for each weight."""
        gradient = torch.addcmul(gradient, of["penalty"], self._weights)
        self._first.mul_(of["keep"]).addcmul_(of["take"], gradient)
        self._second.mul_(of["keep_square"]).addcmul_(of["take_square"] * gradient, gradient)
        ahead = torch.addcmul(gradient, of["keep"], self._first)
        direction = torch.where(of["is_nesterov"] > 0, ahead, self._first)
        scale = torch.addcmul(of["epsilon"], self._second.sqrt(), of["of_second"])
        self._weights.addcmul_(of["decay"], self._weights, value=-1)
        self._weights.addcdiv_(of["rate"] * direction, scale, value=-1)

    def finish(self) -> None:
        """Leave the optimisers as if each had made the steps itself."""
        for (optimizer, group), step in zip(self._groups, self._table["step"].tolist(), strict=True):
            for parameter in group["params"]:
                if "step" in optimizer.state[parameter]:
                    optimizer.state[parameter]["step"].fill_(step)

    def _read(self, coefficients: Callable[[Optimizer, dict[str, Any]], tuple[float, ...]]) -> Tensor:
        """(coefficients, groups) float64 on the weights' device, read from the optimisers."""
        rows = torch.tensor([coefficients(*each) for each in self._groups], dtype=torch.float64).T.contiguous()
        return rows.pin_memory().to(self._weights.device, non_blocking=True) if self._weights.is_cuda else rows

    def _number_groups(self) -> Tensor:
        """(N,) int64: the number of each weight's parameter group."""
        numbers = {
            id(parameter): number for number, (_, group) in enumerate(self._groups) for parameter in group["params"]
        }
        owners = [owner for owners in self._network.owners.values() for owner in owners.values()]
        return torch.repeat_interleave(
            torch.tensor([numbers[id(owner)] for owner in owners]), torch.tensor([owner.numel() for owner in owners])
        )

    @torch.no_grad()
    def _take_over_state(self) -> None:
        firsts, seconds = self._network.cut(self._first), self._network.cut(self._second)
        for name, owners in self._network.owners.items():
            for member, owner in owners.items():
                optimizer, first, second = self._optimizers[member], firsts[name][member], seconds[name][member]
                state = optimizer.state[owner]
                if isinstance(optimizer, SGD):
                    _replace(state, "momentum_buffer", first)
                    continue
                _replace(state, "exp_avg", first)
                _replace(state, "exp_avg_sq", second)
                state.setdefault("step", torch.zeros((), dtype=torch.float32, device=owner.device))


def _replace(state: dict[str, Any], key: str, view: Tensor) -> None:
    """Make the view the entry under `key`, with the entry's former values, if any."""
    if state.get(key) is not None:
        view.copy_(state[key])
    state[key] = view


def _scheduled(optimizer: Optimizer, group: dict[str, Any]) -> tuple[float, ...]:
    """Coefficients in the order of `_SCHEDULED`."""
    if isinstance(optimizer, SGD):
        return group["lr"], group["momentum"], 1.0
    first, _ = group["betas"]
    return group["lr"], first, 1 - first


def _fixed(optimizer: Optimizer, group: dict[str, Any]) -> tuple[float, ...]:
    """Coefficients in the order of `_FIXED`. Reading Adam's step count waits for the device."""
    if isinstance(optimizer, SGD):
        return group["weight_decay"], 0.0, 0.0, 0.0, float(group["nesterov"]), 1.0, 0.0
    _, second = group["betas"]
    num_steps = float(optimizer.state[group["params"][0]].get("step", 0.0))
    penalty, decay = (0.0, group["weight_decay"]) if isinstance(optimizer, AdamW) else (group["weight_decay"], 0.0)
    return penalty, decay, second, 1 - second, 0.0, group["eps"], num_steps
