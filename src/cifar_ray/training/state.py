"""Packs the weights and trainer state of a checkpoint into bytes, and unpacks them without running code."""

from __future__ import annotations

import collections
import io
import math
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from cifar_ray.errors import CheckpointError, first_line
from cifar_ray.plain_pickle import check_pickle


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """Everything besides the weights that the next epoch depends on, and the metrics of the earlier ones."""

    optimizer: dict[str, Any]
    """Its `state_dict()`."""
    scheduler: dict[str, Any] | None
    """Its `state_dict()`; None for a fixed learning rate."""
    history: list[dict[str, Any]]
    """EpochMetrics of every epoch so far, as plain values."""
    data_pass: int = 0
    """Which pass over the data the last epoch was: the epoch itself, or its cohort's count of passes."""
    live: dict[str, Tensor] | None = None
    """The weights that training continues with, where the checkpoint's are an average over the steps."""
    num_before: int = 0
    """Epochs for which earlier trials had trained the weights that this one inherited."""


def pack_weights(weights: Mapping[str, Tensor]) -> bytes:
    """A `state_dict()` in safetensors format."""
    return safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in weights.items()})


def unpack_weights(content: bytes) -> dict[str, Tensor]:
    """The `state_dict()`; CheckpointError where the bytes are not in safetensors format."""
    try:
        return safetensors.torch.load(content)
    except Exception as error:  # of a type or size that torch lacks, too
        raise CheckpointError(f"the weights are not safetensors: {first_line(error)}") from error


def load_weights(network: nn.Module, content: bytes) -> None:
    """Set the network's weights; CheckpointError where the bytes do not fit the network."""
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
    """The state; CheckpointError where the bytes hold more than tensors and plain values, or expand when unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_is_stored(archive)
            return TrainerState(**_StateUnpickler(archive, len(content)).load())
    except Exception as error:  # a damaged file raises nearly anything
        raise CheckpointError(f"the trainer state cannot be read safely: {first_line(error)}") from error


def _check_is_stored(archive: zipfile.ZipFile) -> None:
    """Refuse an archive that would grow when it is unpacked: torch saves tensors uncompressed."""
    if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
        raise CheckpointError("it is compressed")


_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
"""The dtype behind each of torch's legacy storage names; torch's own classes, if called, would allocate any size."""


class _StateUnpickler(pickle.Unpickler):
    """Unpickles plain values and tensors that `torch.save` wrote, onto the CPU.

    It takes memory in proportion to the file. `torch.load(weights_only=True)` does not: it also creates byte arrays of
    any size that a file names, and tensors that repeat one value.
    """

    def __init__(self, archive: zipfile.ZipFile, num_bytes: int) -> None:
        (name,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        content = archive.read(name)
        check_pickle(content)
        super().__init__(io.BytesIO(content))
        self._archive = archive
        self._folder = name.removesuffix("data.pkl") + "data"
        self._num_left = num_bytes

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        # made anew each time, since a file can set attributes of what it gets: those of Counter would be everybody's
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *values: _rebuild(*values)
        if (module, name) in (("collections", "OrderedDict"), ("collections", "Counter")):
            kind = getattr(collections, name)
            return lambda *values: kind(*values)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no trainer state needs")

    def persistent_load(self, pid: Any) -> Tensor:
        """All numbers of one storage; in a trainer state no two tensors share one."""
        _, dtype, key, *_ = pid
        content = bytearray(self._archive.read(f"{self._folder}/{key}"))
        self._num_left -= len(content)
        if self._num_left < 0:
            raise pickle.UnpicklingError("it unpacks to more than it is")
        return torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)


def _rebuild(storage: Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *_: object) -> Tensor:
    """Replaces torch's function, which lets many elements of a tensor share one number."""
    if math.prod(size) > storage.numel():
        raise pickle.UnpicklingError("it has a tensor larger than its numbers")
    # a clone, in memory aligned as torch's own
    return storage.as_strided(size, stride, offset).clone()
