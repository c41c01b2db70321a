"""Runs several classic CNNs that read the same images as one network."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_ray.models.grouped_convolution import grouped_convolution
from cifar_ray.models.pooled_norm import Norm, norm_pool_relu

HIDDEN = (120, 84)
"""Widths of the two dense layers that dropout follows."""


class FusedClassicCnn:
    """K networks of `classic_cnn` as one of grouped convolutions.

    On an accelerator all have batch norm, or none. Their weights and running statistics move into common tensors, and
    the networks' own become views of these, so that each can still be optimised, evaluated and saved by itself. No
    network's values affect those of another.
    """

    def __init__(self, networks: Sequence[nn.Module], num_readers: Sequence[int]) -> None:
        """`num_readers`: how many of the networks read each version of the images in training, in their order."""
        self._num_networks = len(networks)
        self._num_readers = num_readers
        self._weights: dict[str, Tensor] = {}
        self._owners: dict[str, dict[int, nn.Parameter]] = {}
        self._statistics: dict[str, Tensor] = {}
        self._counters: list[Tensor] = []
        for name, owners in _by_name(network.named_parameters() for network in networks).items():
            self._owners[name] = cast("dict[int, nn.Parameter]", owners)
            self._weights[name] = _share(owners).requires_grad_()
        for name, buffers in _by_name(network.named_buffers() for network in networks).items():
            if buffers[min(buffers)].dim():
                self._statistics[name] = _share(buffers)
            elif name.endswith("num_batches_tracked"):
                self._counters += buffers.values()
        self._normed = sorted(self._owners.get("conv1.1.weight", {}))

    def __call__(self, images: Tensor, noise: Sequence[Tensor] | None) -> Tensor:
        """Logits (K, B, 10) of (B, 3, 32, 32) images; in training (V B, 3, 32, 32), V versions one after another.

        `noise` holds dropout's factors for the two hidden layers' outputs, (K, B, 120) and (K, B, 84), in training;
        None evaluates.
        """
        is_training = noise is not None
        num_readers = self._num_readers if is_training else [self._num_networks]
        values = self._first_convolution(images, num_readers, is_training)
        values = self._convolution("conv2", values, range(self._num_networks), self._num_networks, is_training)
        # the channels of each network are contiguous
        values = values.flatten(1).view(len(values), self._num_networks, -1).transpose(0, 1)
        for index, name in enumerate(("dense1.0", "dense2.0")):
            values = functional.relu(self._dense(name, values))
            if noise is not None:
                values = values * noise[index]
        return self._dense("dense3", values)

    @property
    def owners(self) -> Mapping[str, Mapping[int, nn.Parameter]]:
        """Each network's own parameters, by name and network number."""
        return self._owners

    def flatten(self) -> Tensor:
        """Move all weights into one tensor (N,); the common tensors become views of it."""
        flat = torch.cat([_in_memory_order(weight.detach()) for weight in self._weights.values()])
        for weight, part in zip(self._weights.values(), self._split(flat), strict=True):
            weight.data = part
        for name, views in self.cut(flat).items():
            for member, view in views.items():
                self._owners[name][member].data = view
        return flat

    def cut(self, flat: Tensor) -> Mapping[str, Mapping[int, Tensor]]:
        """The networks' parts of a tensor (N,) with the layout of `flatten`, by name and network number."""
        return {
            name: _deal(part, self._owners[name]) for name, part in zip(self._weights, self._split(flat), strict=True)
        }

    def gradient(self) -> Tensor:
        """All gradients in one tensor (N,), after a backward pass."""
        return torch.cat([_in_memory_order(each) for each in self._common_gradients().values()])

    def gradients(self) -> Mapping[str, Mapping[int, Tensor]]:
        """Each network's part of the gradients, after a backward pass, by name and network number."""
        return {name: _deal(each, self._owners[name]) for name, each in self._common_gradients().items()}

    def forget_gradients(self) -> None:
        """Clear the gradients, before each backward pass."""
        for weight in self._weights.values():
            weight.grad = None

    def _common_gradients(self) -> Mapping[str, Tensor]:
        return {name: weight.grad for name, weight in self._weights.items() if weight.grad is not None}

    def _split(self, flat: Tensor) -> list[Tensor]:
        """A view for each of the common tensors, with the same memory layout."""
        parts = torch.split(flat, [weight.numel() for weight in self._weights.values()])
        return [
            _from_memory_order(part, weight.shape) for part, weight in zip(parts, self._weights.values(), strict=True)
        ]

    def hand_out_gradients(self) -> None:
        """Give each network's parameters their part of the gradients, after a backward pass."""
        for name, parts in self.gradients().items():
            for member, part in parts.items():
                self._owners[name][member].grad = part

    def count_batches(self, num_batches: int) -> None:
        """Advance batch norm's counters by that many training steps."""
        for counter in self._counters:
            counter += num_batches

    def _first_convolution(self, images: Tensor, num_readers: Sequence[int], is_training: bool) -> Tensor:
        """Apply each network's first layer to the version of the images that it reads."""
        bounds = [0, *accumulate(num_readers)]
        parts = [
            self._convolution("conv1", version, range(start, end), 1, is_training)
            for version, (start, end) in zip(images.chunk(len(num_readers)), pairwise(bounds), strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _convolution(self, name: str, values: Tensor, members: range, num_groups: int, is_training: bool) -> Tensor:
        weight, bias = (self._part(f"{name}.0.{kind}", members) for kind in ("weight", "bias"))
        values = grouped_convolution(values, weight, bias, num_groups)
        if values.device.type == "cpu":
            return norm_pool_relu(values, self._norm(name, members), is_training=is_training)
        if self._normed:
            values = functional.batch_norm(
                values,
                self._statistics[f"{name}.1.running_mean"],
                self._statistics[f"{name}.1.running_var"],
                self._weights[f"{name}.1.weight"],
                self._weights[f"{name}.1.bias"],
                training=is_training,
            )
        return functional.relu(functional.max_pool2d(values, 2))

    def _norm(self, name: str, members: range) -> Norm | None:
        """Batch norm of these networks, its channels counted among theirs; None where none has it."""
        normed = np.array([member - members.start for member in self._normed if member in members])
        if not len(normed):
            return None
        width = len(self._owners[f"{name}.1.weight"][self._normed[0]])
        parts = {
            kind: self._part(f"{name}.1.{kind}", members) for kind in ("weight", "bias", "running_mean", "running_var")
        }
        return Norm(**parts, channels=(normed[:, None] * width + np.arange(width)).ravel())

    def _part(self, name: str, members: range) -> Tensor:
        """The part of a common tensor that belongs to these networks."""
        common = self._weights[name] if name in self._weights else self._statistics[name]
        if len(members) == self._num_networks:
            return common
        owning = self._normed if ".1." in name else range(self._num_networks)
        width = len(common) // len(owning)
        start, end = bisect_left(owning, members.start), bisect_left(owning, members.stop)
        return common[start * width : end * width]

    def _dense(self, name: str, values: Tensor) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        weight = weight.view(self._num_networks, -1, weight.shape[1]).transpose(1, 2)
        return torch.baddbmm(bias.view(self._num_networks, 1, -1), values, weight)


def _in_memory_order(values: Tensor) -> Tensor:
    """(n,), without a copy where a convolution's weights are channels-last."""
    return (values.permute(0, 2, 3, 1) if values.dim() == 4 else values).reshape(-1)


def _from_memory_order(flat: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `_in_memory_order`, as a view."""
    if len(shape) != 4:
        return flat.view(shape)
    num_out, num_in, height, width = shape
    return flat.view(num_out, height, width, num_in).permute(0, 3, 1, 2)


def _by_name(networks: Iterable[Iterable[tuple[str, Tensor]]]) -> dict[str, dict[int, Tensor]]:
    """The networks' tensors by name, in their order, and network number."""
    by_name: dict[str, dict[int, Tensor]] = {}
    for number, network in enumerate(networks):
        for name, tensor in network:
            by_name.setdefault(name, {})[number] = tensor
    return by_name


def _share(owners: Mapping[int, Tensor]) -> Tensor:
    """Concatenate the owners into one tensor, of which they become views."""
    common = torch.cat([owner.data for owner in owners.values()])
    for member, part in _deal(common, owners).items():
        owners[member].data = part
    return common


def _deal(common: Tensor, owners: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Each owner's part of a common tensor."""
    return dict(zip(owners, torch.split(common, len(common) // len(owners)), strict=True))
