"""What a trial's checkpoint holds: tensors and plain values in, bytes out, and back without running code."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from cifar_ray.errors import CheckpointError, first_line


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """Everything besides the weights that the next epoch depends on, and what the earlier ones gave."""

    optimizer: dict[str, Any]
    """Its `state_dict()`."""
    scheduler: dict[str, Any] | None
    """Its `state_dict()`; None for a fixed learning rate."""
    history: list[dict[str, Any]]
    """EpochMetrics of every epoch so far, as plain values."""
    data_pass: int = 0
    """Which pass over the data the last epoch was: the epoch itself, or its cohort's count of passes."""
    live: dict[str, Tensor] | None = None
    """Where the checkpoint's weights are an average over the steps: those that training goes on with."""
    num_before: int = 0
    """Epochs that earlier trials, whose weights it took over, had trained."""


def pack_weights(weights: Mapping[str, Tensor]) -> bytes:
    """safetensors of a `state_dict()`."""
    return safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in weights.items()})


def unpack_weights(content: bytes) -> dict[str, Tensor]:
    """The `state_dict()`; CheckpointError where the bytes are no safetensors."""
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"the weights are not safetensors: {error}") from error


def load_weights(network: nn.Module, content: bytes) -> None:
    """Set the network's weights; CheckpointError where the bytes hold others than it has."""
    try:
        network.load_state_dict(unpack_weights(content))
    except RuntimeError as error:
        raise CheckpointError(
            "the weights do not fit the network that their settings name",
            "another version of cifar-ray has trained them: take that one",
        ) from error


def pack_trainer_state(state: TrainerState) -> bytes:
    """Bytes that `unpack_trainer_state` reads."""
    buffer = io.BytesIO()
    torch.save(vars(state), buffer)
    return buffer.getvalue()


def unpack_trainer_state(content: bytes) -> TrainerState:
    """The state; CheckpointError where the bytes hold anything but tensors and plain values."""
    try:
        _check_is_stored(content)
        values = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        return TrainerState(**values)
    except Exception as error:  # a damaged file raises nearly anything, IndexError among it
        raise CheckpointError(f"the trainer state cannot be read safely: {first_line(error)}") from error


def _check_is_stored(content: bytes) -> None:
    """Refuse an archive that would grow when it is unpacked: torch saves tensors as they are."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
            raise CheckpointError("it is compressed")
