"""Several classic CNNs that read the same images, as one network."""

from __future__ import annotations

from collections.abc import Sequence

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
        self._counters = [buffer for network in networks for _, buffer in network.named_buffers() if not buffer.dim()]

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

    def hand_out_gradients(self) -> None:
        """After a backward pass: give each network's parameters their part of the gradients."""
        for name, owners in self._owners.items():
            gradient = self._weights[name].grad
            assert gradient is not None
            for owner, part in zip(owners, torch.split(gradient, len(owners[0])), strict=True):
                owner.grad = part
            self._weights[name].grad = None

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


def _share(parts: list[Tensor], owners: Sequence[Tensor]) -> Tensor:
    """The parts one after another in one tensor, of which they become views."""
    common = torch.cat(parts)
    for owner, part in zip(owners, torch.split(common, len(parts[0])), strict=True):
        owner.data = part
    return common
