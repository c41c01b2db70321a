"""Several classic CNNs that read the same images, as one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_ray.models.grouped_convolution import grouped_convolution

HIDDEN = (120, 84)
"""Widths of the two dense layers that drop-out follows."""


class FusedClassicCnn:
    """K networks of `classic_cnn`, all with batch norm or all without, as one of grouped convolutions.

    Their weights and running statistics move into common tensors; the networks' own become views of these, so that
    each can still be optimised, evaluated and saved by itself. No value of one ever meets a value of another.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self._num_networks = len(networks)
        self._weights = {}
        self._owners: dict[str, list[nn.Parameter]] = {}
        for name, _ in networks[0].named_parameters():
            owners = [network.get_parameter(name) for network in networks]
            self._owners[name] = owners
            self._weights[name] = _share([owner.data for owner in owners], owners).requires_grad_()
        self._statistics = {}
        for name, first in networks[0].named_buffers():
            if first.dim():
                buffers = [network.get_buffer(name) for network in networks]
                self._statistics[name] = _share(list(buffers), buffers)
        self._counters = [
            buffer
            for network in networks
            for name, buffer in network.named_buffers()
            if name.endswith("num_batches_tracked")
        ]

    def __call__(self, images: Tensor, noise: Sequence[Tensor] | None) -> Tensor:
        """Logits (K, B, 10) of (B, 3, 32, 32) images.

        `noise` are the factors of the two hidden layers' outputs, (K, B, 120) and (K, B, 84), in training; None
        evaluates.
        """
        is_training = noise is not None
        values = self._convolution("conv1", images, 1, is_training)
        values = self._convolution("conv2", values, self._num_networks, is_training)
        # a network's channels lie together
        values = values.flatten(1).view(len(images), self._num_networks, -1).transpose(0, 1)
        for index, name in enumerate(("dense1.0", "dense2.0")):
            values = functional.relu(self._dense(name, values))
            if noise is not None:
                values = values * noise[index]
        return self._dense("dense3", values)

    @property
    def owners(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """By name, the networks' own parameters."""
        return self._owners

    def flatten(self) -> Tensor:
        """Move all weights into one tensor (N,), of which the common tensors become views."""
        flat = torch.cat([_in_memory_order(weight.detach()) for weight in self._weights.values()])
        for weight, part in zip(self._weights.values(), self._split(flat), strict=True):
            weight.data = part
        for name, views in self.cut(flat).items():
            for owner, view in zip(self._owners[name], views, strict=True):
                owner.data = view
        return flat

    def cut(self, flat: Tensor) -> Mapping[str, Sequence[Tensor]]:
        """By name, the networks' parts of a tensor (N,) that is laid out as `flatten` does it."""
        return {
            name: torch.split(part, len(self._owners[name][0]))
            for name, part in zip(self._weights, self._split(flat), strict=True)
        }

    def gradient(self) -> Tensor:
        """After a backward pass: all gradients in one tensor (N,)."""
        return torch.cat([_in_memory_order(each) for each in self._common_gradients().values()])

    def gradients(self) -> Mapping[str, Sequence[Tensor]]:
        """After a backward pass: by name, each network's part of the gradients."""
        return {name: torch.split(each, len(self._owners[name][0])) for name, each in self._common_gradients().items()}

    def forget_gradients(self) -> None:
        """To be called before a backward pass."""
        for weight in self._weights.values():
            weight.grad = None

    def _common_gradients(self) -> Mapping[str, Tensor]:
        return {name: weight.grad for name, weight in self._weights.items() if weight.grad is not None}

    def _split(self, flat: Tensor) -> list[Tensor]:
        """A view for each of the common tensors, laid out in memory as these are."""
        parts = torch.split(flat, [weight.numel() for weight in self._weights.values()])
        return [
            _from_memory_order(part, weight.shape) for part, weight in zip(parts, self._weights.values(), strict=True)
        ]

    def hand_out_gradients(self) -> None:
        """After a backward pass: give each network's parameters their part of the gradients."""
        for name, parts in self.gradients().items():
            for owner, part in zip(self._owners[name], parts, strict=True):
                owner.grad = part

    def count_batches(self, num_batches: int) -> None:
        """Advance batch norm's counters, as that many training steps do."""
        for counter in self._counters:
            counter += num_batches

    def _convolution(self, name: str, values: Tensor, num_groups: int, is_training: bool) -> Tensor:
        weight, bias = self._weights[f"{name}.0.weight"], self._weights[f"{name}.0.bias"]
        values = grouped_convolution(values, weight, bias, num_groups)
        if f"{name}.1.weight" in self._weights:
            values = functional.batch_norm(
                values,
                self._statistics[f"{name}.1.running_mean"],
                self._statistics[f"{name}.1.running_var"],
                self._weights[f"{name}.1.weight"],
                self._weights[f"{name}.1.bias"],
                training=is_training,
            )
        return functional.relu(functional.max_pool2d(values, 2))

    def _dense(self, name: str, values: Tensor) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        weight = weight.view(self._num_networks, -1, weight.shape[1]).transpose(1, 2)
        return torch.baddbmm(bias.view(self._num_networks, 1, -1), values, weight)


def _in_memory_order(values: Tensor) -> Tensor:
    """(n,), without a copy where a convolution's weights lie channels-last."""
    return (values.permute(0, 2, 3, 1) if values.dim() == 4 else values).reshape(-1)


def _from_memory_order(flat: Tensor, shape: torch.Size) -> Tensor:
    """A view of that shape."""
    if len(shape) != 4:
        return flat.view(shape)
    num_out, num_in, height, width = shape
    return flat.view(num_out, height, width, num_in).permute(0, 3, 1, 2)


def _share(parts: list[Tensor], owners: Sequence[Tensor]) -> Tensor:
    """The parts one after another in one tensor, of which they become views."""
    common = torch.cat(parts)
    for owner, part in zip(owners, torch.split(common, len(parts[0])), strict=True):
        owner.data = part
    return common
