import io
import json
import pickle
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.errors import CheckpointError
from cifar_ray.training.state import (
    TrainerState,
    pack_trainer_state,
    pack_weights,
    unpack_trainer_state,
    unpack_weights,
)

STATE = TrainerState(optimizer={"state": {0: {"step": torch.ones(2)}}}, scheduler=None, history=[{"epoch": 1}])


def test_there_and_back() -> None:
    weights = {"a": torch.randn(3, 4, 5, 5).to(memory_format=torch.channels_last)}
    assert torch.equal(unpack_weights(pack_weights(weights))["a"], weights["a"])
    state = unpack_trainer_state(pack_trainer_state(STATE))
    assert state.history == STATE.history
    assert torch.equal(state.optimizer["state"][0]["step"], torch.ones(2))


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_a_hostile_checkpoint_runs_no_code(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    for content in (saved({"optimizer": Hostile(trap)}), pickle.dumps(Hostile(trap))):
        with pytest.raises(CheckpointError):
            unpack_trainer_state(content)
        with pytest.raises(CheckpointError):
            unpack_weights(content)
    assert not trap.exists()


def test_an_archive_that_grows_is_refused_before_it_is_unpacked() -> None:
    stored = zipfile.ZipFile(io.BytesIO(saved({"optimizer": {}, "scheduler": None, "history": []})))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in stored.namelist():
            archive.writestr(name, stored.read(name))
        archive.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(CheckpointError, match="compressed"):
        unpack_trainer_state(bomb.getvalue())


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}},
        {"a": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]}},
        {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for name in "ab"},
    ],
)
def test_weights_that_claim_what_they_have_not(header: dict[str, Any]) -> None:
    text = json.dumps(header).encode()
    with pytest.raises(CheckpointError):
        unpack_weights(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(CheckpointError):
        unpack_weights(struct.pack("<Q", 1 << 60) + text)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(content: bytes) -> None:
    for unpack in (unpack_weights, unpack_trainer_state):
        with pytest.raises(CheckpointError):
            unpack(content)


@given(st.data())
def test_a_state_that_was_changed_anywhere_is_a_state_or_refused(data: st.DataObject) -> None:
    content = bytearray(pack_trainer_state(STATE))
    for _ in range(3):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CheckpointError):
        assert isinstance(unpack_trainer_state(bytes(content)), TrainerState)


@pytest.mark.parametrize("content", [b"", b"rubbish", saved({"other": 1}), saved([1, 2])])
def test_rubbish_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError):
        unpack_trainer_state(content)


def test_weights_that_are_cut_off() -> None:
    content = pack_weights({"a": torch.ones(100)})
    for cut in (0, 4, 30, len(content) - 1):
        with pytest.raises(CheckpointError):
            unpack_weights(content[:cut])
